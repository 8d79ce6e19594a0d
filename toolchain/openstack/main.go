// A stand-in for Pulumi's openstack plugin: what the official one bridges, at the same versions (go.mod), but no more
// of it than the program uses, and for the stacks of this machine only.
package main

import (
	"context"
	"log"

	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/pkg/v3/resource/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/terraform-provider-openstack/terraform-provider-openstack/openstack"
)

// The official plugin that go.mod and the tables below stand for; the version of the npm package @pulumi/openstack.
const (
	name    = "openstack"
	version = "3.15.2"
)

type fields = map[string]*tfbridge.SchemaInfo

// By the names in Terraform; tokens and fields as the official plugin has them.
var resources = map[string]*tfbridge.ResourceInfo{
	"openstack_blockstorage_volume_v3":             {Tok: "openstack:blockstorage/volume:Volume"},
	"openstack_compute_instance_v2":                {Tok: "openstack:compute/instance:Instance"},
	"openstack_compute_keypair_v2":                 {Tok: "openstack:compute/keypair:Keypair"},
	"openstack_compute_servergroup_v2":             {Tok: "openstack:compute/serverGroup:ServerGroup", Fields: fields{"policies": list()}},
	"openstack_compute_volume_attach_v2":           {Tok: "openstack:compute/volumeAttach:VolumeAttach"},
	"openstack_networking_floatingip_associate_v2": {Tok: "openstack:networking/floatingIpAssociate:FloatingIpAssociate"},
	"openstack_networking_floatingip_v2":           {Tok: "openstack:networking/floatingIp:FloatingIp"},
	"openstack_networking_network_v2":              {Tok: "openstack:networking/network:Network"},
	"openstack_networking_port_v2":                 {Tok: "openstack:networking/port:Port"},
	"openstack_networking_router_interface_v2":     {Tok: "openstack:networking/routerInterface:RouterInterface"},
	"openstack_networking_router_v2":               {Tok: "openstack:networking/router:Router"},
	"openstack_networking_secgroup_rule_v2":        {Tok: "openstack:networking/secGroupRule:SecGroupRule"},
	"openstack_networking_secgroup_v2":             {Tok: "openstack:networking/secGroup:SecGroup"},
	"openstack_networking_subnet_v2":               {Tok: "openstack:networking/subnet:Subnet", Fields: fields{"allocation_pool": {Name: "allocationPools"}, "allocation_pools": {Name: "allocationPoolsCollection"}}},
}

var functions = map[string]*tfbridge.DataSourceInfo{
	"openstack_compute_flavor_v2":     {Tok: "openstack:compute/getFlavor:getFlavor"},
	"openstack_images_image_v2":       {Tok: "openstack:images/getImage:getImage"},
	"openstack_networking_network_v2": {Tok: "openstack:networking/getNetwork:getNetwork"},
	"openstack_networking_subnet_v2":  {Tok: "openstack:networking/getSubnet:getSubnet"},
}

var config = fields{
	"allow_reauth":  fromEnvironment("OS_ALLOW_REAUTH"),
	"cloud":         fromEnvironment("OS_CLOUD"),
	"delayed_auth":  fromEnvironment("OS_DELAYED_AUTH"),
	"endpoint_type": fromEnvironment("OS_ENDPOINT_TYPE"),
	"insecure":      fromEnvironment("OS_INSECURE"),
	"region":        fromEnvironment("OS_REGION_NAME"),
	"swauth":        fromEnvironment("OS_SWAUTH"),
	"use_octavia":   fromEnvironment("OS_USE_OCTAVIA"),
}

func main() {
	info := providerInfo()
	info.P.InitLogging(context.Background())
	err := provider.Main(name, func(host *provider.HostClient) (pulumirpc.ResourceProviderServer, error) {
		return newStandIn(host, info), nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

func providerInfo() tfbridge.ProviderInfo {
	terraform := openstack.Provider()
	terraform.ResourcesMap = only(terraform.ResourcesMap, resources)
	terraform.DataSourcesMap = only(terraform.DataSourcesMap, functions)
	info := tfbridge.ProviderInfo{
		P:           sdkv2.NewProvider(terraform),
		Name:        name,
		Version:     version,
		Config:      config,
		Resources:   resources,
		DataSources: functions,
	}
	info.SetAutonaming(255, "-")
	return info
}

// only picks the entries of a table. The bridge would offer all others under names of its own making.
func only[Info any](all map[string]*schema.Resource, table map[string]Info) map[string]*schema.Resource {
	picked := make(map[string]*schema.Resource, len(table))
	for name := range table {
		if all[name] == nil {
			log.Fatalf("the Terraform provider has no %s", name)
		}
		picked[name] = all[name]
	}
	return picked
}

// list keeps a list a list, where the bridge would make a single value of one that takes a single element.
func list() *tfbridge.SchemaInfo {
	return &tfbridge.SchemaInfo{MaxItemsOne: tfbridge.False()}
}

func fromEnvironment(variable string) *tfbridge.SchemaInfo {
	return &tfbridge.SchemaInfo{Default: &tfbridge.DefaultInfo{EnvVars: []string{variable}}}
}
