package consumergroup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/scenario"
)

// stage runs the commands of a scenario file on one group.
type stage struct {
	t       *testing.T
	cfg     *Config
	cluster *cluster
	now     time.Time
	ids     int
	g       *Group
	stored  *storage
	hidden  string
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, cluster: newCluster(), now: time.UnixMilli(0), stored: &storage{}}
	s.cfg = testConfig(&s.ids)
	s.g = New("g", s.cfg)
	return s
}

func (s *stage) world() World {
	return World{Now: s.now, Topics: s.cluster, Version: s.cluster.version, SessionTimeout: 45 * time.Second}
}

// args are the name=value words of a command.
type args map[string]string

func (a args) optional(name string) *string {
	if v, ok := a[name]; ok {
		return &v
	}
	return nil
}

func (s *stage) duration(a args, name, def string) time.Duration {
	if v, ok := a[name]; ok {
		def = v
	}
	d, err := time.ParseDuration(def)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *stage) number(a args, name string, def int32) int32 {
	if v, ok := a[name]; ok {
		return mustAtoi(s.t, v)
	}
	return def
}

func list(v string) []string {
	if v == "" {
		return []string{}
	}
	return strings.Split(v, ",")
}

// partitions reads t:0,1;u:2.
func (s *stage) partitions(v string) Partitions {
	out := Partitions{}
	for part := range strings.SplitSeq(v, ";") {
		name, indexes, _ := strings.Cut(part, ":")
		t := s.cluster.topics[name]
		for _, i := range list(indexes) {
			out[Partition{t.ID, mustAtoi(s.t, i)}] = struct{}{}
		}
	}
	return out
}

func (s *stage) run(line string) string {
	words := strings.Fields(line)
	a := args{}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		a[name] = value
	}
	var out strings.Builder
	w := s.world()
	switch words[0] {
	case "config":
		s.cfg.MaxSize = int(s.number(a, "max", int32(s.cfg.MaxSize)))
		s.cfg.Downgrade = a["downgrade"] != "no"
	case "topic":
		s.cluster.set(a["name"], s.number(a, "partitions", 1))
	case "delete":
		s.cluster.drop(a["name"])
	case "hide":
		s.hidden = a["topic"]
	case "hb":
		fmt.Fprintln(&out, s.heartbeat(w, a))
	case "join":
		r := s.g.Join(w, s.joinRequest(a))
		fmt.Fprintf(&out, "joined code=%d gen=%d protocol=%s member=%s\n", r.ErrorCode, r.Generation, r.Protocol, r.MemberID)
	case "sync":
		r := s.g.Sync(w, group.SyncRequest{MemberID: a["member"], InstanceID: a.optional("instance"), Generation: s.number(a, "gen", 0), Protocol: a.optional("protocol")})
		fmt.Fprintf(&out, "synced code=%d %s\n", r.ErrorCode, show(decodeAssignment(w, r.Assignment)))
	case "heartbeat":
		fmt.Fprintln(&out, "code", s.g.ClassicHeartbeat(w, a["member"], a.optional("instance"), s.number(a, "gen", 0)))
	case "leave":
		fmt.Fprintln(&out, "code", s.g.Leave(w, a["member"], a.optional("instance")))
	case "commit":
		code, each := s.g.CheckCommit(a["member"], s.number(a, "epoch", -1), int16(s.number(a, "v", 9)))
		fmt.Fprint(&out, "code ", code)
		if each != nil {
			for _, p := range s.partitions(a["of"]).Sorted() {
				fmt.Fprintf(&out, " %d:%d", p.Index, each(p))
			}
		}
		fmt.Fprintln(&out)
	case "fetch":
		fmt.Fprintln(&out, "code", s.g.CheckFetch(a.optional("member"), s.number(a, "epoch", -1)))
	case "advance":
		// The clock stops at every deadline on the way, as the coordinator's timer does.
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		end := s.now.Add(d)
		for next := s.g.Next(); !next.IsZero() && !next.After(end); next = s.g.Next() {
			s.now = next
			for _, id := range s.g.Tick(s.world()) {
				fmt.Fprintln(&out, "removed", id, "at", s.now.Sub(time.UnixMilli(0)))
			}
		}
		s.now = end
	case "restart":
		s.g = s.stored.load(s.cfg, w)
	case "classic":
		fmt.Fprintln(&out, "downgrades", s.g.Downgrades())
		if s.g.Downgrades() {
			for _, m := range s.g.ToClassic(w) {
				fmt.Fprintf(&out, "%s %s %s\n", m.ID, m.SessionTimeout, show(decodeAssignment(w, m.Assignment)))
			}
		}
	case "state":
	default:
		s.t.Fatalf("unknown command %q", line)
	}
	if written := s.stored.save(s.g); len(written) > 0 {
		fmt.Fprintln(&out, "write", strings.Join(written, ", "))
	}
	if words[0] == "state" || words[0] == "restart" {
		fmt.Fprintf(&out, "%s epoch=%d assignment=%d %s\n", s.g.State(), s.g.epoch, s.g.assignmentEpoch, s.g.AssignorName())
		for _, m := range s.g.Members() {
			fmt.Fprintf(&out, "%s epoch=%d %s has=%s", m.ID, m.Epoch, stateName[m.State], show(m.Assigned))
			if len(m.Revoking) > 0 {
				fmt.Fprintf(&out, " revoking=%s", show(m.Revoking))
			}
			fmt.Fprintf(&out, " target=%s due=+%s\n", show(m.Target), m.deadline().Sub(s.now))
		}
	}
	check(s.t, s.g, s.stored, w)
	return out.String()
}

// heartbeat sends one of the consumer protocol: a full one for epoch 0.
func (s *stage) heartbeat(w World, a args) string {
	r := Heartbeat{
		Version: int16(s.number(a, "v", 1)), MemberID: a["member"], MemberEpoch: s.number(a, "epoch", 0), InstanceID: a.optional("instance"),
		RebalanceTimeout: -1, Regex: a.optional("regex"), Assignor: a.optional("assignor"), ClientID: "c", ClientHost: "h",
		Visible: func(topic string) bool { return topic != s.hidden },
	}
	if v, ok := a["topics"]; ok {
		r.Topics = list(v)
	}
	if v, ok := a["owned"]; ok {
		r.Owned = s.partitions(v)
	}
	if r.MemberEpoch == 0 && a["bare"] == "" {
		r.RebalanceTimeout, r.Owned = s.duration(a, "rebalance", "60s"), Partitions{}
	}
	out, ok := s.cfg.Check(r)
	if ok {
		out = s.g.Heartbeat(w, r)
	}
	if out.ErrorCode != 0 {
		return fmt.Sprintf("code=%d %s", out.ErrorCode, out.Message)
	}
	line := fmt.Sprintf("%s epoch=%d", out.MemberID, out.MemberEpoch)
	if out.Assigned {
		line += " assigned=" + show(out.Assignment)
	}
	return line
}

func (s *stage) joinRequest(a args) group.JoinRequest {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = int16(s.number(a, "metadata", 1))
	meta.Topics = list(a["topics"])
	for _, tp := range s.partitions(a["owned"]).ByTopic() {
		o := kmsg.NewConsumerMemberMetadataOwnedPartition()
		o.Topic, o.Partitions = nameOf(tp.Topic), tp.Partitions
		meta.OwnedPartitions = append(meta.OwnedPartitions, o)
	}
	r := group.JoinRequest{
		Version: int16(s.number(a, "v", 9)), MemberID: a["member"], InstanceID: a.optional("instance"), ClientID: "c", ClientHost: "h",
		ProtocolType: "consumer", SessionTimeout: s.duration(a, "session", "10s"), RebalanceTimeout: s.duration(a, "rebalance", "60s"),
	}
	if v, ok := a["type"]; ok {
		r.ProtocolType = v
	}
	protocols := "cooperative-sticky"
	if v, ok := a["protocols"]; ok {
		protocols = v
	}
	for _, name := range list(protocols) {
		r.Protocols = append(r.Protocols, group.Protocol{Name: name, Metadata: meta.AppendTo(nil)})
	}
	return r
}

func TestScenarios(t *testing.T) {
	scenario.Run(t, func(t *testing.T) func(string) string { return newStage(t).run })
}
