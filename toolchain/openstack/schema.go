package main

import (
	"sort"
	"strings"

	"github.com/gedex/inflector"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

// packageSchema is the official schema of what is in the tables, without descriptions and settings of SDKs. It is for
// `pulumi import` and the like: nothing reads it in a deployment. The bridge's own generator would make the plugin and
// the time to build it twice as big.
func packageSchema(info tfbridge.ProviderInfo) schema.PackageSpec {
	spec := schema.PackageSpec{
		Name:        info.Name,
		Version:     info.Version,
		Description: "Stand-in for the official plugin " + info.Name + " " + info.Version,
		Meta:        &schema.MetadataSpec{ModuleFormat: "(.*)(?:/[^/]*)"},
		Types:       map[string]schema.ComplexTypeSpec{},
		Resources:   map[string]schema.ResourceSpec{},
		Functions:   map[string]schema.FunctionSpec{},
	}
	settings := object{fields: info.P.Schema(), infos: info.Config, side: arguments}
	spec.Config.Variables, spec.Config.Required = settings.properties()
	spec.Provider.InputProperties, spec.Provider.RequiredInputs = settings.properties()
	spec.Provider.Properties, spec.Provider.Required = settings.properties()
	for key, property := range spec.Provider.Properties {
		property.DefaultInfo = nil
		spec.Provider.Properties[key] = property
	}
	for key, resource := range info.Resources {
		result := schema.ResourceSpec{}
		top := topLevel(resource.Tok.String(), info.P.ResourcesMap().Get(key), resource.Fields)
		top.types, top.partSide = spec.Types, arguments
		result.InputProperties, result.RequiredInputs = top.as(arguments).properties()
		result.Properties, result.Required = top.as(results).properties()
		delete(result.Properties, "id")
		spec.Resources[resource.Tok.String()] = result
	}
	for key, function := range info.DataSources {
		inputs, outputs := schema.ObjectTypeSpec{Type: "object"}, schema.ObjectTypeSpec{Type: "object"}
		top := topLevel(function.Tok.String(), info.P.DataSourcesMap().Get(key), function.Fields)
		top.types, top.partSide = spec.Types, results
		inputs.Properties, inputs.Required = top.as(arguments).properties()
		outputs.Properties, outputs.Required = top.as(results).properties()
		if _, has := outputs.Properties["id"]; !has {
			outputs.Properties["id"] = schema.PropertySpec{TypeSpec: schema.TypeSpec{Type: "string"}}
			outputs.Required = append(outputs.Required, "id")
		}
		spec.Functions[function.Tok.String()] = schema.FunctionSpec{Inputs: &inputs, Outputs: &outputs}
	}
	return spec
}

// Fields are described as what a program gives or as what it gets.
type side int

const (
	arguments side = iota
	results
)

// object is a resource, a function or a part of one.
type object struct {
	fields shim.SchemaMap
	infos  fields
	side   side
	isPart bool
	// Where the types of its parts belong, such as "openstack:compute/", and what their names start with.
	module, name string
	types        map[string]schema.ComplexTypeSpec
	// Parts are described once for both sides.
	partSide side
}

func topLevel(token string, terraform shim.Resource, infos fields) object {
	return object{
		fields: terraform.Schema(),
		infos:  infos,
		module: token[:strings.Index(token, "/")+1],
		name:   token[strings.LastIndex(token, ":")+1:],
	}
}

func (o object) as(side side) object {
	o.side = side
	return o
}

// properties gives the fields by their names in Pulumi, and the names of those that are always there.
func (o object) properties() (map[string]schema.PropertySpec, []string) {
	properties, required := map[string]schema.PropertySpec{}, []string{}
	o.fields.Range(func(key string, field shim.Schema) bool {
		given := field.Optional() || field.Required()
		if o.side == arguments && !given && !o.isPart {
			return true
		}
		info := o.infos[key]
		name := tfbridge.TerraformToPulumiNameV2(key, o.fields, o.infos)
		property := schema.PropertySpec{
			TypeSpec:             o.typeOf(name, field, info),
			Secret:               field.Sensitive(),
			WillReplaceOnChanges: o.side == arguments && field.ForceNew(),
		}
		if info != nil && info.Default != nil && len(info.Default.EnvVars) > 0 {
			property.DefaultInfo = &schema.DefaultSpec{Environment: info.Default.EnvVars}
		}
		properties[name] = property
		if !o.optional(field, info) {
			required = append(required, name)
		}
		return true
	})
	sort.Strings(required)
	return properties, required
}

func (o object) optional(field shim.Schema, info *tfbridge.SchemaInfo) bool {
	hasDefault := info != nil && info.HasDefault()
	if o.side == results {
		return field.Optional() && !field.Computed() && !hasDefault
	}
	return field.Optional() || field.Computed() || hasDefault
}

func (o object) typeOf(name string, field shim.Schema, info *tfbridge.SchemaInfo) schema.TypeSpec {
	switch field.Type() {
	case shim.TypeBool:
		return schema.TypeSpec{Type: "boolean"}
	case shim.TypeInt:
		return schema.TypeSpec{Type: "integer"}
	case shim.TypeFloat:
		return schema.TypeSpec{Type: "number"}
	case shim.TypeString:
		return schema.TypeSpec{Type: "string"}
	}
	single := tfbridge.IsMaxItemsOne(field, info)
	element := schema.TypeSpec{Ref: "pulumi.json#/Any"}
	switch of := field.Elem().(type) {
	case shim.Schema:
		element = o.typeOf(name, of, nil)
	case shim.Resource:
		if !single && field.Type() != shim.TypeMap {
			name = inflector.Singularize(name)
		}
		element = o.part(name, of)
	}
	_, isObject := field.Elem().(shim.Resource)
	switch {
	case single || (field.Type() == shim.TypeMap && isObject):
		return element
	case field.Type() == shim.TypeMap:
		return schema.TypeSpec{Type: "object", AdditionalProperties: &element}
	default:
		return schema.TypeSpec{Type: "array", Items: &element}
	}
}

// part describes a type within this object and gives the reference to it.
func (o object) part(name string, terraform shim.Resource) schema.TypeSpec {
	name = o.name + strings.ToUpper(name[:1]) + name[1:]
	token := o.module + name + ":" + name
	spec := schema.ObjectTypeSpec{Type: "object"}
	part := o.as(o.partSide)
	part.fields, part.infos, part.name, part.isPart = terraform.Schema(), nil, name, true
	spec.Properties, spec.Required = part.properties()
	o.types[token] = schema.ComplexTypeSpec{ObjectTypeSpec: spec}
	return schema.TypeSpec{Ref: "#/types/" + token}
}
