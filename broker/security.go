package broker

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// protocol is Kafka's name for how the listener is secured.
func (b *Broker) protocol() string {
	switch {
	case b.cfg.TLS != nil && b.cfg.SASL:
		return "SASL_SSL"
	case b.cfg.TLS != nil:
		return "SSL"
	case b.cfg.SASL:
		return "SASL_PLAINTEXT"
	}
	return "PLAINTEXT"
}

// mechanisms are the SASL mechanisms on offer. PLAIN shows the password to
// whoever can see the bytes.
func (b *Broker) mechanisms() []string {
	if !b.cfg.SASL {
		return nil
	}
	out := []string{auth.ScramSHA256.String(), auth.ScramSHA512.String()}
	local := false
	if a, ok := b.listener.Addr().(*net.TCPAddr); ok {
		local = a.IP.IsLoopback()
	}
	if b.cfg.TLS != nil || local {
		out = append(out, auth.Plain)
	}
	return out
}

// principal is who a client is before it says so; empty where it has to.
func (b *Broker) principal() string {
	if b.cfg.SASL {
		return ""
	}
	return auth.Anonymous
}

// authorization says whether access rules are in force: where clients have names.
func (b *Broker) authorization() bool {
	return b.cfg.SASL || len(b.cfg.SuperUsers) > 0 || (b.cfg.TLS != nil && b.cfg.TLS.ClientAuth >= tls.VerifyClientCertIfGiven)
}

func (b *Broker) authorizer() auth.Authorizer {
	if !b.authorization() {
		return auth.AllowAll{}
	}
	return &auth.ACLs{Image: b.cluster.Image, SuperUsers: b.cfg.SuperUsers}
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
