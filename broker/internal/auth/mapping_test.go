package auth

import "testing"

// TestPrincipalMapping: rules as in Kafka's documentation of
// ssl.principal.mapping.rules.
func TestPrincipalMapping(t *testing.T) {
	const rules = `RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/,RULE:^CN=(.*?),OU=(.*?),O=(.*?)$/$1@$2/L, RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U,DEFAULT`
	for _, c := range []struct{ rules, subject, want string }{
		{"", "CN=a,O=b", "User:CN=a,O=b"},
		{"DEFAULT", "CN=a,O=b", "User:CN=a,O=b"},
		{rules, "CN=serviceuser,OU=ServiceUsers,O=Unknown", "User:serviceuser"},
		{rules, "CN=AdminUser,OU=Admin,O=Unknown", "User:adminuser@admin"},
		{rules, "L=x,CN=other", "User:OTHER"},
		{rules, "O=nobody", "User:O=nobody"},
		{`RULE:CN=(\w+)\/x/$1\/y/`, "CN=a/x", `User:a\/y`},
		{"RULE:^CN=a$/b/", "CN=c", ""},
	} {
		m, err := ParsePrincipalMapping(c.rules)
		if err != nil {
			t.Errorf("%s: %v", c.rules, err)
			continue
		}
		if got, ok := m.Principal(c.subject); got != c.want || ok != (c.want != "") {
			t.Errorf("%s by %s is %q, want %q", c.subject, c.rules, got, c.want)
		}
	}
	for _, bad := range []string{"RULE:a", "RULE:a/b", "RULE:a/b/X", "default", "RULE:(/b/", "RULE:a/b/ DEFAULT"} {
		if m, err := ParsePrincipalMapping(bad); err == nil {
			t.Errorf("%s is %v", bad, m)
		}
	}
}
