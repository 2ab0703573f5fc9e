package auth

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

func rule(typ ResourceType, pattern int8, name, principal, host string, op Operation, permission int8) cluster.ACL {
	return cluster.ACL{ResourceType: int8(typ), Pattern: pattern, ResourceName: name, Principal: principal, Host: host, Operation: int8(op), Permission: permission}
}

func TestACLs(t *testing.T) {
	img := &cluster.Image{}
	a := &ACLs{Image: func() *cluster.Image { return img }, SuperUsers: []string{"User:root"}}
	if !a.Allowed("User:x", "h", Write, Topic, "t") || !a.AllowedAny("User:x", "h", Write, Topic) {
		t.Error("without a rule something is denied")
	}
	img.ACLs = []cluster.ACL{
		rule(Topic, PatternLiteral, "t", "User:a", "*", Read, Allow),
		rule(Topic, PatternPrefixed, "pre-", "User:a", "*", Write, Allow),
		rule(Topic, PatternLiteral, "pre-secret", "User:a", "*", Write, Deny),
		rule(Topic, PatternLiteral, "*", "User:b", "10.0.0.1", AllOperations, Allow),
		rule(Topic, PatternLiteral, "public", "User:*", "*", Read, Allow),
		rule(Topic, PatternLiteral, "public", "User:c", "*", AllOperations, Deny),
		rule(Topic, PatternLiteral, "conf", "User:a", "*", AlterConfigs, Allow),
		rule(Group, PatternLiteral, "t", "User:a", "*", Delete, Allow),
	}
	for _, c := range []struct {
		principal, host string
		op              Operation
		typ             ResourceType
		name            string
		want            bool
	}{
		{"User:a", "h", Read, Topic, "t", true},
		{"User:a", "h", Describe, Topic, "t", true},
		{"User:a", "h", Write, Topic, "t", false},
		{"User:a", "h", Read, Topic, "tt", false},
		{"User:a", "h", Write, Topic, "pre-x", true},
		{"User:a", "h", Write, Topic, "pre-", true},
		{"User:a", "h", Write, Topic, "pre", false},
		{"User:a", "h", Write, Topic, "pre-secret", false},
		{"User:a", "h", Describe, Topic, "pre-secret", true},
		{"User:b", "10.0.0.1", Delete, Topic, "any", true},
		{"User:b", "10.0.0.2", Delete, Topic, "any", false},
		{"User:d", "h", Read, Topic, "public", true},
		{"User:c", "h", Read, Topic, "public", false},
		{"User:a", "h", DescribeConfigs, Topic, "conf", true},
		{"User:a", "h", Describe, Topic, "conf", false},
		{"User:a", "h", Read, Group, "t", false},
		{"User:a", "h", Describe, Group, "t", true},
		{"User:root", "h", Alter, Cluster, ClusterName, true},
		{"User:a", "h", Alter, Cluster, ClusterName, false},
	} {
		if got := a.Allowed(c.principal, c.host, c.op, c.typ, c.name); got != c.want {
			t.Errorf("%s from %s, operation %d on %d %q: %v", c.principal, c.host, c.op, c.typ, c.name, got)
		}
	}
	if !a.AllowedAny("User:a", "h", Write, Topic) || a.AllowedAny("User:d", "h", Write, Topic) {
		t.Error("who may write to some topic is wrong")
	}
}

// TestScramVectors: the exchange of RFC 7677 with its own nonce and salt.
func TestScramVectors(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	client, err := scram.SHA256.NewClient("user", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	salted := pbkdf2Key(t, "pencil", salt, 4096)
	got := Derive(ScramSHA256, salted, salt, 4096)
	if string(got.StoredKey) != string(stored.StoredKey) || string(got.ServerKey) != string(stored.ServerKey) {
		t.Error("the derived keys are not those of the RFC's user")
	}
}

func pbkdf2Key(t *testing.T, password string, salt []byte, iterations int) []byte {
	t.Helper()
	h := ScramSHA256
	key, err := deriveSalted(h, password, salt, iterations)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestLogins(t *testing.T) {
	img := &cluster.Image{Users: map[string]cluster.User{}}
	for user, m := range map[string]Mechanism{"u": ScramSHA256, "w": ScramSHA512} {
		c, err := NewCredential(m, "right")
		if err != nil {
			t.Fatal(err)
		}
		img.Users[user] = cluster.User{int8(m): c}
	}
	image := func() *cluster.Image { return img }
	for _, c := range []struct {
		message string
		want    string
	}{
		{"\x00u\x00right", "u"}, {"u\x00u\x00right", "u"}, {"\x00w\x00right", "w"},
		{"\x00u\x00wrong", ""}, {"\x00x\x00right", ""}, {"w\x00u\x00right", ""}, {"\x00u\x00", ""}, {"u right", ""}, {"", ""},
		{"\x00u\x00right\x00", ""}, {"\x00\x00right", ""},
	} {
		l, _ := NewLogin(Plain, image)
		_, user, done, err := l.Step([]byte(c.message))
		if user != c.want && err == nil || done != (c.want != "") || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrFailed) {
			t.Errorf("PLAIN %q: user %q, done %v, %v", c.message, user, done, err)
		}
	}
	for _, c := range []struct {
		m                       Mechanism
		user, password, authzid string
		want                    bool
	}{
		{ScramSHA256, "u", "right", "", true}, {ScramSHA256, "u", "right", "u", true}, {ScramSHA512, "w", "right", "", true},
		{ScramSHA256, "u", "wrong", "", false}, {ScramSHA512, "u", "right", "", false}, {ScramSHA256, "x", "right", "", false},
		{ScramSHA256, "u", "right", "w", false},
	} {
		l, _ := NewLogin(c.m.String(), image)
		client, err := scram.HashGeneratorFcn(c.m.hash()).NewClient(c.user, c.password, c.authzid)
		if err != nil {
			t.Fatal(err)
		}
		conv := client.NewConversation()
		ok := false
		message, err := conv.Step("")
		for err == nil {
			var answer []byte
			var user string
			var done bool
			if answer, user, done, err = l.Step([]byte(message)); err != nil {
				break
			}
			if done {
				ok = user == c.user
				break
			}
			message, err = conv.Step(string(answer))
		}
		if ok != c.want {
			t.Errorf("%s as %s with %s: %v (%v)", c.m, c.user, c.password, ok, err)
		}
	}
	if _, ok := NewLogin("OAUTHBEARER", image); ok {
		t.Error("OAUTHBEARER is offered")
	}
}
