package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// A broker resource is this broker, by its id, or "": the defaults of all brokers,
// which have only what was set.

func invalid(format string, args ...any) error {
	return &cluster.Error{Code: errcode.InvalidRequest, Message: fmt.Sprintf(format, args...)}
}

// checkBroker refuses a broker resource that is not about this broker.
func (h *Handler) checkBroker(name string) error {
	if name == "" || name == strconv.Itoa(int(h.cfg.NodeID)) {
		return nil
	}
	if _, err := strconv.ParseInt(name, 10, 32); err != nil {
		return invalid("Broker id must be an integer, but it is: %s", name)
	}
	return invalid("Unexpected broker id, expected %d or empty string, but received %s", h.cfg.NodeID, name)
}

// describeBroker lists the settings of this broker, or the defaults of all.
func describeBroker(img *cluster.Image, defaults bool) []kmsg.DescribeConfigsResponseResourceConfig {
	names := map[string]bool{}
	for name := range img.BrokerConfigs {
		names[name] = true
	}
	if !defaults {
		for name := range img.NodeConfigs[img.Local.NodeID] {
			names[name] = true
		}
		for name := range img.Local.Static {
			names[name] = true
		}
		for name, def := range cluster.BrokerConfigs() {
			names[name] = !def.Internal
		}
	}
	var out []kmsg.DescribeConfigsResponseResourceConfig
	for name, show := range names {
		if show {
			out = append(out, describeBrokerConfig(img, name, defaults))
		}
	}
	slices.SortFunc(out, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func describeBrokerConfig(img *cluster.Image, name string, defaults bool) kmsg.DescribeConfigsResponseResourceConfig {
	def, base, _ := cluster.FindBrokerConfig(name)
	layers := img.BrokerLayers(name)
	if defaults {
		layers = slices.DeleteFunc(layers, func(l cluster.Layer) bool { return l.Source != cluster.DynamicDefault })
	}
	if len(layers) > 0 && layers[0].Name != name && layers[0].Name != base {
		layers = nil // it has no value itself
	}
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Source = name, kmsg.ConfigSourceDefaultConfig
	out.ReadOnly, out.IsSensitive = def.Update == cluster.ReadOnly, def.Type == cluster.Password
	out.ConfigType, out.Documentation = kmsg.ConfigType(def.Type), &def.Doc
	for i := range layers {
		l := &layers[i]
		s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		s.Name, s.Source = l.Name, kmsg.ConfigSource(l.Source)
		if !out.IsSensitive {
			s.Value = &l.Value
		}
		if i == 0 {
			out.Value, out.Source = s.Value, s.Source
		}
		out.ConfigSynonyms = append(out.ConfigSynonyms, s)
	}
	out.IsDefault = out.Source == kmsg.ConfigSourceDefaultConfig
	return out
}

// namesUsers finds an option of PLAIN's login module that makes a user.
var namesUsers = regexp.MustCompile(`\buser_[^\s="]+\s*=`)

// alterBroker changes settings of this broker, or the defaults of all.
func (h *Handler) alterBroker(ctx context.Context, name string, edits []edit, replace, validateOnly bool) error {
	if err := h.checkBroker(name); err != nil {
		return err
	}
	for _, e := range edits {
		if e.op == kmsg.IncrementalAlterConfigOpDelete {
			continue
		}
		if err := mayAlter(e.name, name == ""); err != nil {
			return err
		}
		// It would make nobody a user, and be kept with the passwords in it.
		if _, base, _ := cluster.FindBrokerConfig(e.name); base == "sasl.jaas.config" && e.value != nil && namesUsers.MatchString(*e.value) {
			return invalid("%s names users, who are read when the broker starts: make them with kafka-configs --entity-type users, or change its configuration and restart it", e.name)
		}
	}
	return h.cluster.Update(ctx, func(img *cluster.Image) ([]cluster.Command, error) {
		set := img.BrokerConfigs
		if name != "" {
			set = img.NodeConfigs[img.Local.NodeID]
		}
		base := set
		if replace {
			base = nil
		}
		configs, err := applyEdits(base, edits, func(name string) (cluster.ConfigDef, bool) {
			def, _, ok := cluster.FindBrokerConfig(name)
			def.Default = img.BrokerConfig(name)
			return def, ok
		})
		if err == nil {
			err = h.checkBrokerConfigs(img, name == "", configs)
		}
		if err != nil || validateOnly || maps.Equal(configs, set) {
			return nil, err
		}
		if name == "" {
			return []cluster.Command{&cluster.SetBrokerConfigs{Configs: configs}}, nil
		}
		return []cluster.Command{&cluster.SetNodeConfigs{Node: img.Local.NodeID, Configs: configs}}, nil
	})
}

// mayAlter refuses settings that cannot be changed while the broker runs, as Kafka
// does; one that nobody knows is refused as well, where Kafka keeps it for plugins.
func mayAlter(name string, defaults bool) error {
	def, base, ok := cluster.FindBrokerConfig(name)
	switch {
	case !ok:
		return &cluster.Error{Code: errcode.InvalidConfig, Message: "Unknown config name: " + name + cluster.DidYouMean(name)}
	case def.Update == cluster.ReadOnly:
		return invalid("Cannot update these configs dynamically: Set(%s)", name)
	case def.Update == cluster.PerBroker && defaults:
		return invalid("Cannot update these configs at default cluster level, broker id must be specified: Set(%s)", name)
	case base == name && perListenerOnly[name]:
		return invalid("These security configs can be dynamically updated only per-listener using the listener prefix: Set(%s)", name)
	}
	return nil
}

// perListenerOnly are the settings that Kafka lets change for one listener only.
var perListenerOnly = map[string]bool{
	"ssl.keystore.location": true, "ssl.keystore.key": true, "ssl.keystore.certificate.chain": true, "ssl.keystore.type": true, "ssl.keystore.password": true,
	"ssl.key.password": true, "ssl.truststore.location": true, "ssl.truststore.certificates": true, "ssl.truststore.type": true, "ssl.truststore.password": true,
}

// openedAtStart are settings that Kafka can change while it runs and this broker
// cannot; their present value may be set.
var openedAtStart = []string{"listeners", "listener.security.protocol.map"}

func (h *Handler) checkBrokerConfigs(img *cluster.Image, defaults bool, configs map[string]string) error {
	for name, value := range configs {
		def, base, ok := cluster.FindBrokerConfig(name)
		if !ok {
			continue // of an older version
		}
		err := def.Check(name, value)
		var refused *cluster.Error
		if errors.As(err, &refused) {
			return invalid("%s", refused.Message)
		}
		if slices.Contains(openedAtStart, name) && value != img.Local.Static[name] {
			return invalid("%s is %q: listeners are opened when the broker starts; change its configuration and restart it", name, img.Local.Static[name])
		}
		if base == "max.connections.per.ip.overrides" {
			if _, err := cluster.IPOverrides(value); err != nil {
				return invalid("Error parsing configuration property '%s': %v", name, err)
			}
		}
	}
	if h.cfg.CheckConfigs == nil {
		return nil
	}
	proposed := *img
	if defaults {
		proposed.BrokerConfigs = configs
	} else {
		proposed.NodeConfigs = map[int32]map[string]string{img.Local.NodeID: configs}
	}
	if err := h.cfg.CheckConfigs(&proposed); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// allowBroker asks whether the caller may do something with the brokers' settings.
func (h *Handler) allowBroker(c *call, op auth.Operation) error {
	if !h.allowed(c, op, auth.Cluster, auth.ClusterName) {
		return &cluster.Error{Code: errcode.ClusterAuthorizationFailed, Message: "Authorization failed."}
	}
	return nil
}
