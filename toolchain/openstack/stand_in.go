package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi/pkg/v3/resource/provider"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
)

// standIn is the bridge's server, as far as it goes: on the stacks of this machine and with what is in the tables.
type standIn struct {
	pulumirpc.ResourceProviderServer
	host      *provider.HostClient
	info      tfbridge.ProviderInfo
	introduce sync.Once
}

const self = "the stand-in for the official plugin " + name + " " + version

func newStandIn(host *provider.HostClient, info tfbridge.ProviderInfo) *standIn {
	// The schema is the stand-in's own, see GetSchema.
	bridge := tfbridge.NewProvider(context.Background(), host, name, version, info.P, info, nil)
	return &standIn{ResourceProviderServer: bridge, host: host, info: info}
}

func (s *standIn) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version + "+stand-in"}, nil
}

func (s *standIn) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	text, err := json.Marshal(packageSchema(s.info))
	return &pulumirpc.GetSchemaResponse{Schema: string(text)}, err
}

func (s *standIn) Attach(ctx context.Context, request *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	host, err := provider.NewHostClient(request.GetAddress())
	if err != nil {
		return nil, err
	}
	s.host = host
	return s.ResourceProviderServer.Attach(ctx, request)
}

func (s *standIn) CheckConfig(ctx context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	if reason := foreign(request.GetUrn()); reason != "" {
		return failed(reason), nil
	}
	return s.ResourceProviderServer.CheckConfig(ctx, request)
}

func (s *standIn) Configure(ctx context.Context, request *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	s.introduce.Do(func() {
		if s.host != nil {
			// Whoever does not hear it can still read it in the version.
			_ = s.host.Log(ctx, diag.Info, "", self+" is in use, as fits a stack of this machine only")
		}
	})
	return s.ResourceProviderServer.Configure(ctx, request)
}

func (s *standIn) Check(ctx context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	if err := unknownResource(request.GetUrn()); err != nil {
		return nil, err
	}
	if reason := foreign(request.GetUrn()); reason != "" {
		return failed(reason), nil
	}
	return s.ResourceProviderServer.Check(ctx, request)
}

func (s *standIn) Diff(ctx context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	if err := refusal(request.GetUrn()); err != nil {
		return nil, err
	}
	return s.ResourceProviderServer.Diff(ctx, request)
}

func (s *standIn) Create(ctx context.Context, request *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	if err := refusal(request.GetUrn()); err != nil {
		return nil, err
	}
	return s.ResourceProviderServer.Create(ctx, request)
}

func (s *standIn) Read(ctx context.Context, request *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	if err := refusal(request.GetUrn()); err != nil {
		return nil, err
	}
	return s.ResourceProviderServer.Read(ctx, request)
}

func (s *standIn) Update(ctx context.Context, request *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	if err := refusal(request.GetUrn()); err != nil {
		return nil, err
	}
	return s.ResourceProviderServer.Update(ctx, request)
}

func (s *standIn) Delete(ctx context.Context, request *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	if err := refusal(request.GetUrn()); err != nil {
		return nil, err
	}
	return s.ResourceProviderServer.Delete(ctx, request)
}

// Invoke needs no look at the stack: the provider behind it has come through CheckConfig.
func (s *standIn) Invoke(ctx context.Context, request *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	if err := unknown("function", request.GetTok(), tokensOf(functions)); err != nil {
		return nil, err
	}
	return s.ResourceProviderServer.Invoke(ctx, request)
}

// refusal says why a resource is none of the stand-in's.
func refusal(urn string) error {
	if err := unknownResource(urn); err != nil {
		return err
	}
	if reason := foreign(urn); reason != "" {
		return errors.New(reason)
	}
	return nil
}

func unknownResource(urn string) error {
	return unknown("resource type", typeOf(urn), tokensOf(resources))
}

func unknown(kind, token string, known []string) error {
	if slices.Contains(known, token) {
		return nil
	}
	return fmt.Errorf("%s has no %s %s; it has %s", self, kind, token, strings.Join(known, ", "))
}

// foreign says why a stack is not served; empty for the stacks of this machine and of the tests.
func foreign(urn string) string {
	stack := strings.TrimPrefix(strings.Split(urn, "::")[0], "urn:pulumi:")
	if stack == "dev" || strings.HasPrefix(stack, "test-") {
		return ""
	}
	return fmt.Sprintf("this is %s, and stand-ins never run the stack %q: they serve \"dev\" and \"test-*\" only. "+
		"Run it where the official plugin can be downloaded, or install that with "+
		"`pulumi plugin install resource %s %s` into another PULUMI_HOME.", self, stack, name, version)
}

func failed(reason string) *pulumirpc.CheckResponse {
	return &pulumirpc.CheckResponse{Failures: []*pulumirpc.CheckFailure{{Reason: reason}}}
}

// typeOf is the type token of a URN: urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME.
func typeOf(urn string) string {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) < 4 {
		return ""
	}
	return parts[2][strings.LastIndex(parts[2], "$")+1:]
}

func tokensOf[Info tfbridge.ResourceOrDataSourceInfo](table map[string]Info) []string {
	tokens := make([]string, 0, len(table))
	for _, info := range table {
		tokens = append(tokens, string(info.GetTok()))
	}
	sort.Strings(tokens)
	return tokens
}
