package broker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/server"
)

// served is a listener as the server runs it.
func (b *Broker) served(l *Listener) server.Listener {
	out := server.Listener{Listener: l.Listener, Name: l.Name, Principal: l.principal(), TLS: l.TLS}
	if l.TLS != nil && !l.SASL {
		out.Certificate = l.mapping.Principal
	}
	return out
}

// mechanisms are the SASL mechanisms that a listener offers now.
func (b *Broker) mechanisms(listener string) []string {
	for i := range b.listeners {
		if l := &b.listeners[i]; l.Name == listener {
			return b.offer(b.cluster.Image(), l).offered
		}
	}
	return nil
}

// offer is what a listener makes of sasl.enabled.mechanisms.
type offer struct {
	wanted, offered []string
	passedOver      string // a value that was set while the broker ran, by which nobody could log in
}

// offer takes the first value by which somebody can log in. As in Kafka, one that was set
// while the broker ran, perhaps on other listeners than now, does not keep it from
// starting, but what was given at the start has to be right.
func (b *Broker) offer(img *cluster.Image, l *Listener) (o offer) {
	for _, layer := range img.BrokerLayers(cluster.ForListener(l.Name, "sasl.enabled.mechanisms")) {
		if layer.Source == cluster.DefaultConfig {
			break
		}
		o.wanted = cluster.SplitList(layer.Value)
		o.offered = l.mechanisms(l.Listener.Addr(), o.wanted)
		if len(o.offered) > 0 || layer.Source == cluster.StaticBroker {
			return o
		}
		o.passedOver = cmp.Or(o.passedOver, layer.Value)
	}
	o.wanted = l.Mechanisms // none: all that it can
	o.offered = l.mechanisms(l.Listener.Addr(), o.wanted)
	return o
}

// checkMechanisms refuses a listener through which nobody could log in, and a value to be
// passed over that is not there now: what is there keeps no other setting from changing.
func (b *Broker) checkMechanisms(img, now *cluster.Image) error {
	for i := range b.listeners {
		l := &b.listeners[i]
		if !l.SASL {
			continue
		}
		o := b.offer(img, l)
		var refused string
		switch {
		case o.passedOver != "" && o.passedOver != b.offer(now, l).passedOver:
			refused = o.passedOver
		case len(o.offered) == 0:
			refused = strings.Join(o.wanted, ",")
		default:
			continue
		}
		return fmt.Errorf("nobody could log in through listener %s: sasl.enabled.mechanisms is %s; name SCRAM-SHA-256, SCRAM-SHA-512 or, over TLS or on loopback, PLAIN", l.Name, refused)
	}
	return nil
}

// bounds are how many connections a listener may have from a host now.
func (b *Broker) bounds(listener, host string) server.Bounds {
	img := b.cluster.Image()
	get := func(name string) int { return int(img.BrokerInt(name)) }
	out := server.Bounds{
		Total: get("max.connections"), Listener: get(cluster.ForListener(listener, "max.connections")), Host: get("max.connections.per.ip"),
		Rate: get("max.connection.creation.rate"), ListenerRate: get(cluster.ForListener(listener, "max.connection.creation.rate")),
	}
	names := []string{host}
	if host == "" {
		out.Host = math.MaxInt
		names = []string{"127.0.0.1", "::1", "localhost"}
	}
	overrides, err := cluster.IPOverrides(img.BrokerConfig("max.connections.per.ip.overrides"))
	for _, name := range names {
		if n, ok := overrides[name]; ok && err == nil { // checked when it was set
			out.Host = n
		}
	}
	return out
}

func (b *Broker) milliseconds(name string) time.Duration {
	return times(b.cluster.Image().BrokerInt(name), time.Millisecond)
}

// checkConfigs refuses broker settings by which the broker or a listener could not go on.
func (b *Broker) checkConfigs(img *cluster.Image) error {
	if errs := checkLeast(img.BrokerConfig, b.listeners); len(errs) > 0 {
		return errs[0]
	}
	if err := b.checkMechanisms(img, b.cluster.Image()); err != nil {
		return err
	}
	for i := range b.listeners {
		l := &b.listeners[i]
		if l.stores == nil {
			continue
		}
		next := l.stores.of(img)
		if next == l.stores.now() {
			continue // a file that is being renewed refuses no other setting
		}
		if err := l.mayBecome(next, b.cfg.AllowRemote); err != nil {
			return err
		}
	}
	return nil
}

// authorization says whether access rules are in force: where clients have names.
func (b *Broker) authorization() bool {
	return len(b.cfg.SuperUsers) > 0 || b.cfg.Settings["authorizer.class.name"] != "" ||
		slices.ContainsFunc(b.listeners, func(l Listener) bool { return l.named() })
}

func (b *Broker) authorizer() auth.Authorizer {
	if !b.authorization() {
		return auth.AllowAll{}
	}
	deny := b.cfg.Settings["authorizer.class.name"] != ""
	if v := b.cfg.Settings["allow.everyone.if.no.acl.found"]; v != "" {
		deny = !isTrue(v)
	}
	return &auth.ACLs{Image: b.cluster.Image, SuperUsers: b.cfg.SuperUsers, DenyFirst: deny}
}

// reportUnresolved warns of advertised addresses that this machine does not know.
func (b *Broker) reportUnresolved() {
	reportUnresolved(b.life, b.listeners, net.DefaultResolver.LookupHost, b.cfg.Logger)
}

// addUsers makes the configured users that do not exist yet.
func (b *Broker) addUsers() error {
	var cmds []cluster.Command
	for _, user := range slices.Sorted(maps.Keys(b.cfg.Users)) {
		if b.cluster.Image().Users[user] != nil {
			continue
		}
		for _, m := range []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512} {
			c, err := auth.NewCredential(m, b.cfg.Users[user])
			if err != nil {
				return err
			}
			cmds = append(cmds, &cluster.SetCredential{User: user, Mechanism: int8(m), Credential: c})
		}
	}
	if len(cmds) == 0 {
		return nil
	}
	return b.cluster.Propose(context.Background(), cmds...)
}
