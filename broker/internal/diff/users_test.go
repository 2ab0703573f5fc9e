package diff

import "github.com/twmb/franz-go/pkg/kmsg"

// users is the scenario of SCRAM credentials.
func users(s *session) {
	const sha256, sha512 = 1, 2
	alice, bob := s.n("alice"), s.n("bob")
	type upsert = kmsg.AlterUserSCRAMCredentialsRequestUpsertion
	put := func(name string, mechanism int8, iterations int32) upsert {
		return upsert{Name: name, Mechanism: mechanism, Iterations: iterations, Salt: []byte("salt"), SaltedPassword: []byte("0123456789abcdef0123456789abcdef")}
	}
	alter := func(label string, puts []upsert, deletions ...kmsg.AlterUserSCRAMCredentialsRequestDeletion) {
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		req.Upsertions, req.Deletions = puts, deletions
		ask[*kmsg.AlterUserSCRAMCredentialsResponse](s, label, 0, req)
	}
	describe := func(label string, settled func(*kmsg.DescribeUserSCRAMCredentialsResponse) bool, names ...string) {
		req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		for _, n := range names {
			req.Users = append(req.Users, kmsg.DescribeUserSCRAMCredentialsRequestUser{Name: n})
		}
		until(s, label, 0, req, settled)
	}
	has := func(n int) func(*kmsg.DescribeUserSCRAMCredentialsResponse) bool {
		return func(r *kmsg.DescribeUserSCRAMCredentialsResponse) bool { return len(r.Results[0].CredentialInfos) == n }
	}
	alter("two users", []upsert{put(alice, sha256, 4096), put(bob, sha512, 16384)})
	alter("another mechanism", []upsert{put(alice, sha512, 8192)})
	describe("two mechanisms", has(2), alice, bob, s.n("nobody"))
	describe("one twice", func(*kmsg.DescribeUserSCRAMCredentialsResponse) bool { return true }, alice, alice)
	nameless := put("", sha256, 4096)
	for _, c := range []struct {
		label string
		put   upsert
	}{
		{"too few iterations", put(alice, sha256, 4095)}, {"too many iterations", put(alice, sha256, 16385)},
		{"no mechanism", put(alice, 0, 4096)}, {"an unknown mechanism", put(alice, 3, 4096)}, {"no name", nameless},
	} {
		alter(c.label, []upsert{c.put})
	}
	alter("one credential twice", []upsert{put(alice, sha256, 4096), put(alice, sha256, 4097)})
	alter("both mechanisms at once", []upsert{put(s.n("carol"), sha256, 4096), put(s.n("carol"), sha512, 4096)})
	remove := func(name string, mechanism int8) kmsg.AlterUserSCRAMCredentialsRequestDeletion {
		return kmsg.AlterUserSCRAMCredentialsRequestDeletion{Name: name, Mechanism: mechanism}
	}
	alter("removed and set", []upsert{put(bob, sha512, 4096)}, remove(bob, sha512))
	alter("removed", nil, remove(alice, sha256), remove(bob, sha512))
	alter("removed again", nil, remove(alice, sha256), remove(s.n("nobody"), sha256))
	describe("one is left", has(1), alice, bob)
	alter("the last one removed", nil, remove(alice, sha512))
}
