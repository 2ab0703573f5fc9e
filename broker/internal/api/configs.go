package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

func (h *Handler) describeConfigs(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeConfigsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	for _, r := range unique(req.Resources, func(r kmsg.DescribeConfigsRequestResource) resource { return resource{r.ResourceType, r.ResourceName} }) {
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		configs, err := h.describeResource(c, r.ResourceType, r.ResourceName)
		out.ErrorCode, out.ErrorMessage = h.code(err)
		for _, cfg := range configs {
			if r.ConfigNames != nil && !slices.Contains(r.ConfigNames, cfg.Name) {
				continue
			}
			if !req.IncludeSynonyms {
				cfg.ConfigSynonyms = nil
			}
			if !req.IncludeDocumentation {
				cfg.Documentation = nil
			}
			out.Configs = append(out.Configs, cfg)
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

func (h *Handler) describeResource(c *call, typ kmsg.ConfigResourceType, name string) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	switch typ {
	case kmsg.ConfigResourceTypeTopic:
		if !h.allowed(c, auth.DescribeConfigs, auth.Topic, name) {
			return nil, &cluster.Error{Code: errcode.TopicAuthorizationFailed, Message: "Authorization failed."}
		}
		t := c.img.Topic(name)
		if t == nil {
			if err := h.checkTopicName(name); err != nil {
				return nil, err
			}
			return nil, &cluster.Error{Code: errcode.UnknownTopicOrPartition, Message: "Topic '" + name + "' does not exist."}
		}
		var out []kmsg.DescribeConfigsResponseResourceConfig
		for _, cfg := range slices.Sorted(maps.Keys(cluster.TopicConfigs)) {
			out = append(out, describeTopicConfig(c.img, t, cfg))
		}
		return out, nil
	case kmsg.ConfigResourceTypeBroker:
		if err := errors.Join(h.allowBroker(c, auth.DescribeConfigs), h.checkBroker(name)); err != nil {
			return nil, err
		}
		return describeBroker(c.img, name == ""), nil
	case kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeClientMetrics: // of which there are none
		return nil, h.allowBroker(c, auth.DescribeConfigs)
	case kmsg.ConfigResourceTypeGroupConfig:
		if !h.allowed(c, auth.DescribeConfigs, auth.Group, name) {
			return nil, &cluster.Error{Code: errcode.GroupAuthorizationFailed, Message: "Authorization failed."}
		}
		if name == "" {
			return nil, &cluster.Error{Code: errcode.InvalidRequest, Message: "Group name must not be empty"}
		}
		return h.describeGroupConfigs(c.img, name), nil
	}
	return nil, &cluster.Error{Code: errcode.InvalidRequest, Message: fmt.Sprintf("Unsupported resource type: %d", typ)}
}

func describeTopicConfig(img *cluster.Image, t *cluster.Topic, name string) kmsg.DescribeConfigsResponseResourceConfig {
	def := cluster.TopicConfigs[name]
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value = name, kmsg.StringPtr(img.Config(t, name))
	out.Source = topicConfigSource(img, t, name)
	out.IsDefault = out.Source == kmsg.ConfigSourceDefaultConfig
	out.ConfigType, out.Documentation = kmsg.ConfigType(def.Type), &def.Doc
	synonym := func(name, value string, source kmsg.ConfigSource) {
		s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		s.Name, s.Value, s.Source = name, &value, source
		out.ConfigSynonyms = append(out.ConfigSynonyms, s)
	}
	if v, ok := t.Configs[name]; ok {
		synonym(name, v, kmsg.ConfigSourceDynamicTopicConfig)
	}
	for i, l := range brokerLayers(img, name) {
		if i == 0 && l.Source == cluster.DefaultConfig && l.Name != def.Synonym {
			break // a synonym's default alone, which Kafka does not tell
		}
		synonym(l.Name, l.Value, kmsg.ConfigSource(l.Source))
	}
	return out
}

// brokerLayers are the broker's values of a topic's setting.
func brokerLayers(img *cluster.Image, name string) []cluster.Layer {
	if def := cluster.TopicConfigs[name]; def.Synonym != "" {
		return img.BrokerLayers(def.Synonym)
	}
	return nil
}

// topicConfigSource says where a topic's value of a setting comes from.
func topicConfigSource(img *cluster.Image, t *cluster.Topic, name string) kmsg.ConfigSource {
	if _, ok := t.Configs[name]; ok {
		return kmsg.ConfigSourceDynamicTopicConfig
	}
	if layers := brokerLayers(img, name); len(layers) > 0 {
		return kmsg.ConfigSource(layers[0].Source)
	}
	return kmsg.ConfigSourceDefaultConfig
}

// edit is one change of one setting.
type edit struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

// applyEdits returns configs with the edits done.
func applyEdits(configs map[string]string, edits []edit, find func(string) (cluster.ConfigDef, bool)) (map[string]string, error) {
	refuse := func(code int16, msg string) (map[string]string, error) {
		return nil, &cluster.Error{Code: code, Message: msg}
	}
	out := maps.Clone(configs)
	if out == nil {
		out = map[string]string{}
	}
	seen := map[string]bool{}
	for _, e := range edits {
		def, known := find(e.name)
		if !known && e.op == kmsg.IncrementalAlterConfigOpDelete {
			continue // it is not set, whatever it is
		}
		switch {
		case seen[e.name]:
			return refuse(errcode.InvalidRequest, "Error due to duplicate config keys")
		case !known:
			return refuse(errcode.InvalidConfig, "Unknown config name: "+e.name)
		case e.value == nil && e.op != kmsg.IncrementalAlterConfigOpDelete:
			return refuse(errcode.InvalidRequest, "Null value not supported for : "+e.name)
		}
		seen[e.name] = true
		current, ok := out[e.name]
		if !ok {
			current = def.Default
		}
		switch e.op {
		case kmsg.IncrementalAlterConfigOpDelete:
			delete(out, e.name)
		case kmsg.IncrementalAlterConfigOpSet:
			out[e.name] = *e.value
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			if def.Type != cluster.List {
				return refuse(errcode.InvalidConfig, "Can't append or subtract to key "+e.name+" because its type is not LIST.")
			}
			list := cluster.SplitList(current)
			for _, v := range cluster.SplitList(*e.value) {
				has := slices.Contains(list, v)
				if e.op == kmsg.IncrementalAlterConfigOpAppend && !has {
					list = append(list, v)
				} else if e.op == kmsg.IncrementalAlterConfigOpSubtract && has {
					list = slices.DeleteFunc(list, func(s string) bool { return s == v })
				}
			}
			out[e.name] = strings.Join(list, ",")
		default:
			return refuse(errcode.InvalidRequest, "Unknown operation for config "+e.name)
		}
	}
	return out, nil
}

// in looks settings up in a table.
func in(defs map[string]cluster.ConfigDef) func(string) (cluster.ConfigDef, bool) {
	return func(name string) (cluster.ConfigDef, bool) {
		def, ok := defs[name]
		return def, ok
	}
}

// alterResource changes the settings of a topic or of the broker; replace starts
// from nothing instead of from what is set.
func (h *Handler) alterResource(ctx context.Context, c *call, typ kmsg.ConfigResourceType, name string, edits []edit, replace, validateOnly bool) error {
	denied := &cluster.Error{Message: "Authorization failed."}
	switch typ {
	case kmsg.ConfigResourceTypeTopic:
		if !h.allowed(c, auth.AlterConfigs, auth.Topic, name) {
			denied.Code = errcode.TopicAuthorizationFailed
			return denied
		}
		return h.cluster.Update(ctx, func(img *cluster.Image) ([]cluster.Command, error) {
			t := img.Topic(name)
			if t == nil {
				return nil, &cluster.Error{Code: errcode.UnknownTopicOrPartition, Message: "The topic '" + name + "' does not exist."}
			}
			base := t.Configs
			if replace {
				base = nil
			}
			configs, err := applyEdits(base, edits, in(cluster.TopicConfigs))
			if err == nil {
				err = cluster.CheckTopicConfigs(configs)
			}
			if err != nil || validateOnly || maps.Equal(configs, t.Configs) {
				return nil, err
			}
			return []cluster.Command{&cluster.SetTopicConfigs{ID: t.ID, Configs: configs}}, nil
		})
	case kmsg.ConfigResourceTypeBroker:
		if err := h.allowBroker(c, auth.AlterConfigs); err != nil {
			return err
		}
		return h.alterBroker(ctx, name, edits, replace, validateOnly)
	case kmsg.ConfigResourceTypeGroupConfig:
		if !h.allowed(c, auth.AlterConfigs, auth.Group, name) {
			denied.Code = errcode.GroupAuthorizationFailed
			return denied
		}
		return h.alterGroup(ctx, name, edits, replace, validateOnly)
	case kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeClientMetrics:
		if replace && typ == kmsg.ConfigResourceTypeBrokerLogger {
			break // nobody may do that
		}
		if err := h.allowBroker(c, auth.AlterConfigs); err != nil {
			return err
		}
	}
	return &cluster.Error{Code: errcode.InvalidRequest, Message: fmt.Sprintf("Unsupported resource type: %d", typ)}
}

func (h *Handler) incrementalAlterConfigs(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.IncrementalAlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	asked := map[resource]int{}
	for _, r := range req.Resources {
		asked[resource{r.ResourceType, r.ResourceName}]++
	}
	for _, r := range req.Resources {
		var edits []edit
		for _, e := range r.Configs {
			edits = append(edits, edit{e.Name, e.Op, e.Value})
		}
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		if asked[resource{r.ResourceType, r.ResourceName}] > 1 {
			out.ErrorCode, out.ErrorMessage = errcode.InvalidRequest, kmsg.StringPtr("Each resource must appear at most once.")
			resp.Resources = append(resp.Resources, out)
			continue
		}
		out.ErrorCode, out.ErrorMessage = h.code(h.alterResource(ctx, c, r.ResourceType, r.ResourceName, edits, false, req.ValidateOnly))
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

func (h *Handler) alterConfigs(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for _, r := range req.Resources {
		var edits []edit
		for _, e := range r.Configs {
			edits = append(edits, edit{e.Name, kmsg.IncrementalAlterConfigOpSet, e.Value})
		}
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorCode, out.ErrorMessage = h.code(h.alterResource(ctx, c, r.ResourceType, r.ResourceName, edits, true, req.ValidateOnly))
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}
