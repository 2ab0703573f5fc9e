package roster_test

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/services/kit/service"
)

// TestFollowsFromConfiguration: every service has an address of its own, and all
// that is derived from its configuration is there.
func TestFollowsFromConfiguration(t *testing.T) {
	names, addrs := map[string]bool{}, map[string]string{}
	for _, s := range roster.Services() {
		if names[s.Name] {
			t.Errorf("%s is listed twice", s.Name)
		}
		names[s.Name] = true
		if _, err := service.Variables(s.Config); err != nil {
			t.Error(err)
		}
		host, _, err := net.SplitHostPort(s.Addr())
		if err != nil || host != "127.0.0.1" || s.Port() == 0 {
			t.Errorf("%s listens on %q by default (%s): %v", s.Name, s.Addr(), s.Variable("ADDR"), err)
		}
		if other := addrs[s.Addr()]; other != "" {
			t.Errorf("%s and %s both listen on %s", other, s.Name, s.Addr())
		}
		addrs[s.Addr()] = s.Name
	}
	if diff := cmp.Diff([]string{"quokka_order", "quokka_inventory", "quokka_notification"}, roster.Databases()[:3]); diff != "" {
		t.Errorf("databases (-want +got):\n%s", diff)
	}
}
