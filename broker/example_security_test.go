package broker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/quokka-stream/quokka/broker"
)

func login(user, password string) kgo.Opt {
	return kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism())
}

// Users log in by SCRAM and may do what an access rule allows.
func Example_accessRules() {
	b, end := open(broker.Config{
		SASL: true, Users: map[string]string{"admin": "secret", "alice": "wonder"}, SuperUsers: []string{"User:admin"},
	})
	defer end()
	ctx := context.Background()
	root := connect(b, login("admin", "secret"))
	defer root.Close()
	admin := kadm.NewClient(root)
	_, err := admin.CreateTopics(ctx, 1, -1, nil, "orders", "salaries")
	check(err)
	_, err = admin.CreateACLs(ctx, kadm.NewACLs().Topics("orders").ResourcePatternType(kadm.ACLPatternLiteral).
		Allow("User:alice").AllowHosts().Operations(kadm.OpWrite))
	check(err)

	alice := connect(b, login("alice", "wonder"))
	defer alice.Close()
	for _, topic := range []string{"orders", "salaries"} {
		err := alice.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("more")}).FirstErr()
		fmt.Printf("%s: refused %t\n", topic, errors.Is(err, kerr.TopicAuthorizationFailed))
	}
	mallory := connect(b, login("alice", "guessed"))
	defer mallory.Close()
	fmt.Println("a wrong password is refused:", errors.Is(mallory.Ping(ctx), kerr.SaslAuthenticationFailed))
	// Output:
	// orders: refused false
	// salaries: refused true
	// a wrong password is refused: true
}

// A certificate encrypts the listener.
func ExampleConfig_tls() {
	// A certificate for 127.0.0.1, from where tests have one.
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	b, end := open(broker.Config{TLS: &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}})
	defer end()
	ctx := context.Background()
	client := connect(b, kgo.DialTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}), kgo.DefaultProduceTopic("t"))
	defer client.Close()
	fmt.Println(client.ProduceSync(ctx, kgo.StringRecord("nobody else reads this")).FirstErr())
	// Output: <nil>
}
