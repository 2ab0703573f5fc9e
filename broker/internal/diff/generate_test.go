package diff

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// goldenSeeds and liveSeeds are how many generated scenarios of each kind run
// against the golden files, and against a Kafka at hand.
const (
	goldenSeeds = 4
	liveSeeds   = 40
)

// kinds of generated scenarios: each draws its steps at random, many of them
// wrong, from few producers, members and numbers, so that they meet.
var kinds = []struct {
	name string
	run  func(*session, *rand.Rand)
}{
	{"gen-producers", randomProducers},
	{"gen-txn-old", func(s *session, r *rand.Rand) { randomTxn(s, r, false) }},
	{"gen-txn-new", func(s *session, r *rand.Rand) { randomTxn(s, r, true) }},
	{"gen-log", randomLog},
	{"gen-member", randomMember},
	{"gen-consumers", randomConsumers},
}

// generated returns the scenarios of the seeds from first up to last.
func generated(first, last int) []scenario {
	var out []scenario
	for seed := first; seed < last; seed++ {
		for _, k := range kinds {
			out = append(out, scenario{fmt.Sprintf("%s-%d", k.name, seed), func(s *session) {
				k.run(s, rand.New(rand.NewPCG(uint64(seed), 7)))
			}})
		}
	}
	return out
}

// randomProducers: idempotent batches with sequences and epochs around the right ones.
func randomProducers(s *session, r *rand.Rand) {
	s.create("t", 1)
	type state struct {
		id    int64
		epoch int16
		seq   int32
	}
	var all []*state
	for range 2 {
		resp := ask[*kmsg.InitProducerIDResponse](s, "init", 4, kmsg.NewPtrInitProducerIDRequest())
		all = append(all, &state{id: resp.ProducerID})
	}
	for range 40 {
		p := all[r.IntN(len(all))]
		seq, epoch, n := p.seq, p.epoch, 1+r.Int32N(3)
		switch r.IntN(8) {
		case 0:
			seq += 1 + r.Int32N(2)
		case 1, 2:
			seq = max(seq-1-r.Int32N(6), 0)
		case 3:
			epoch++
			seq = r.Int32N(2)
		case 4:
			epoch = max(epoch-1, 0)
		}
		values := make([]string, n)
		for i := range values {
			values[i] = fmt.Sprint(seq + int32(i))
		}
		resp := s.produce(fmt.Sprintf("epoch %d sequence %d+%d", epoch, seq, n), "t",
			s.batch(record.Options{Idempotent: true, ProducerID: p.id, ProducerEpoch: epoch, BaseSequence: seq}, values...))
		if resp.Topics[0].Partitions[0].ErrorCode == 0 && (epoch > p.epoch || seq >= p.seq) {
			p.epoch, p.seq = epoch, seq+n
		}
	}
	s.fetch("all", "t", 0)
}

// randomTxn: what two producers of one transactional id may do in any order.
func randomTxn(s *session, r *rand.Rand, implicit bool) {
	s.create("t", 1)
	a := s.producer("x")
	b := *a
	produce, end := int16(9), int16(3)
	if implicit {
		produce, end = 12, 5
	}
	seq := map[int16]int32{}
	for range 25 {
		p := a
		if r.IntN(4) == 0 {
			p = &b // often a stale one
		}
		switch r.IntN(8) {
		case 0:
			p.init("init anew", -1, -1)
		case 1:
			if p.epoch == max(a.epoch, b.epoch) { // of a stale one Kafka aborts the open transaction and then refuses
				p.init("go on", p.id, p.epoch)
			}
		case 2:
			if !implicit {
				p.add("add", 3, "t", 0)
			}
		case 3:
			p.commitOffset("offset", map[bool]int16{false: 3, true: 5}[implicit], "g", "t", r.Int64N(100))
		case 4, 5:
			p.end(fmt.Sprint("end, commit ", r.IntN(2) == 0), end, r.IntN(2) == 0)
		default:
			epoch := p.epoch
			if resp := p.produce("produce", produce, "t", seq[epoch], "v"); resp.Topics[0].Partitions[0].ErrorCode == 0 {
				seq[epoch]++
			}
		}
		s.describeTxn("then", "x")
	}
	s.fetch("all", "t", 0)
}

// randomLog: records in and out, at offsets and times around the edges.
func randomLog(s *session, r *rand.Rand) {
	s.create("t", 1)
	end, deleted := int64(0), false
	for range 30 {
		switch r.IntN(6) {
		case 0, 1:
			b := record.NewBuilder(record.Options{Codec: record.Codec(r.IntN(5))})
			n := 1 + r.Int64N(4)
			for range n {
				b.Add(record.Record{Timestamp: s.at(r.Int64N(50)), Key: []byte("k"), Value: []byte("v")})
			}
			s.produce("produce", "t", b.Batch())
			end += n
		case 2, 3:
			s.fetch("fetch", "t", r.Int64N(end+3)-1, func(f *kmsg.FetchRequest) {
				f.Topics[0].Partitions[0].PartitionMaxBytes = []int32{1, 100, 1 << 20}[r.IntN(3)]
				f.IsolationLevel = int8(r.IntN(2))
			})
		case 4:
			asked := []int64{-1, -2, s.at(r.Int64N(60) - 5), -3}
			if deleted { // Kafka finds the latest time in deleted records as well
				asked = asked[:3]
			}
			ask[*kmsg.ListOffsetsResponse](s, "list", 7, listOffsetsRequest(s.n("t"), asked[r.IntN(len(asked))]))
		case 5:
			if r.IntN(3) > 0 {
				continue
			}
			deleted = true
			del := kmsg.NewPtrDeleteRecordsRequest()
			del.TimeoutMillis = 5000
			del.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: s.n("t"), Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: r.Int64N(end + 2)}}}}
			ask[*kmsg.DeleteRecordsResponse](s, "delete records", 2, del)
		}
	}
}

// randomMember: one member of a group, who forgets or invents what it is.
func randomMember(s *session, r *rand.Rand) {
	s.create("t", 1)
	m := s.member("g")
	m.enter("join")
	for range 25 {
		as := *m
		as.c = m.c
		switch r.IntN(8) {
		case 0:
			as.gen += r.Int32N(3) - 1
		case 1:
			as.id = "nobody"
		case 2:
			as.gen = -1
		}
		switch r.IntN(6) {
		case 0:
			as.joined(as.join("join"))
			if as.id == m.id {
				*m = as
			}
		case 1:
			as.sync("sync", &as).end()
		case 2:
			as.heartbeat("heartbeat")
		case 3:
			as.commit("commit", 8, "t", r.Int64N(100))
		case 4:
			s.offsets("offsets", "g", "t", false)
		case 5:
			if r.IntN(3) == 0 {
				as.leave("leave", 5, as.id)
			}
			s.describeGroups("then", 5, "g")
		}
	}
}

// randomConsumers: three members of a consumer group, who forget what they were told.
func randomConsumers(s *session, r *rand.Rand) {
	s.create("t", 4)
	s.seen("g")
	members := []*consumer{s.consumer("g", "a"), s.consumer("g", "b"), s.consumer("g", "c")}
	epochs := map[*consumer][]int32{} // that a member has had since it joined
	for range 40 {
		i := r.IntN(len(members))
		m, name := members[i], string(rune('a'+i))
		if len(epochs[m]) == 0 {
			epochs[m] = []int32{m.enter(name+" joins", ranged).MemberEpoch}
			continue
		}
		// The epoch it claims: its own, an older one, or one that is yet to come.
		claim := m.epoch
		switch r.IntN(3) {
		case 0:
			claim = epochs[m][r.IntN(len(epochs[m]))]
		case 1:
			claim += 10
		}
		as := *m
		switch r.IntN(10) {
		case 0:
			epochs[m] = []int32{m.enter(name+" joins again", ranged).MemberEpoch}
		case 1:
			// An answer that was lost, after which a member comes with the epoch before,
			// Kafka forgives once and we as often as it happens.
			last := epochs[m][max(len(epochs[m])-2, 0):]
			if as.epoch = claim; !slices.Contains(last, claim) {
				as.try(name + " is wrong about its epoch")
			}
		case 2:
			m.owned = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			m.beat(name + " owns nothing any more")
		case 3:
			if r.IntN(2) == 0 {
				m.leave(name+" leaves", -1)
				epochs[m] = nil
			}
		case 4, 5:
			m.commit(name+" commits", claim)
		case 6:
			s.describeConsumers("then", "g")
		default:
			if m.beat(name + " goes on"); m.epoch != epochs[m][len(epochs[m])-1] {
				epochs[m] = append(epochs[m], m.epoch)
			}
		}
	}
	s.describeConsumers("at last", "g")
}
