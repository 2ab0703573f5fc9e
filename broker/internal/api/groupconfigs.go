package api

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// describeGroupConfigs lists the settings of a group, which may be one that does
// not exist yet.
func (h *Handler) describeGroupConfigs(img *cluster.Image, id string) []kmsg.DescribeConfigsResponseResourceConfig {
	var out []kmsg.DescribeConfigsResponseResourceConfig
	defs := h.cfg.GroupLimits.Defs()
	for _, name := range slices.Sorted(maps.Keys(defs)) {
		def := defs[name]
		cfg := kmsg.NewDescribeConfigsResponseResourceConfig()
		cfg.Name, cfg.Value, cfg.Source = name, &def.Default, kmsg.ConfigSourceDefaultConfig
		synonym := func(name, value string, source kmsg.ConfigSource) {
			s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			s.Name, s.Value, s.Source = name, &value, source
			cfg.ConfigSynonyms = append(cfg.ConfigSynonyms, s)
		}
		if v, ok := img.GroupConfigs[id][name]; ok {
			cfg.Value, cfg.Source = &v, kmsg.ConfigSourceGroupConfig
			synonym(name, v, cfg.Source)
		}
		synonym(def.Synonym, def.Default, kmsg.ConfigSourceDefaultConfig)
		cfg.IsDefault = cfg.Source == kmsg.ConfigSourceDefaultConfig
		cfg.ConfigType, cfg.Documentation = kmsg.ConfigType(def.Type), &def.Doc
		out = append(out, cfg)
	}
	return out
}

// alterGroup changes the settings of a group.
func (h *Handler) alterGroup(ctx context.Context, id string, edits []edit, replace, validateOnly bool) error {
	if id == "" {
		return &cluster.Error{Code: errcode.InvalidRequest, Message: "Group name must not be empty"}
	}
	return h.cluster.Update(ctx, func(img *cluster.Image) ([]cluster.Command, error) {
		base := img.GroupConfigs[id]
		if replace {
			base = nil
		}
		configs, err := applyEdits(base, edits, in(h.cfg.GroupLimits.Defs()))
		if err == nil {
			err = h.cfg.GroupLimits.Check(configs)
		}
		if err != nil || validateOnly || maps.Equal(configs, img.GroupConfigs[id]) {
			return nil, err
		}
		return []cluster.Command{&cluster.SetGroupConfigs{Group: id, Configs: configs}}, nil
	})
}
