package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// The scenarios of transactions.

// producer is a transactional producer that does as it is told.
type producer struct {
	s     *session
	txnID string
	id    int64
	epoch int16
}

func (s *session) producer(name string) *producer {
	s.t.Helper()
	p := &producer{s: s, txnID: s.n(name), id: -1, epoch: -1}
	p.init("init "+name, -1, -1)
	return p
}

// init asks for an id, going on from one unless it is -1.
func (p *producer) init(label string, id int64, epoch int16) *kmsg.InitProducerIDResponse {
	p.s.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &p.txnID, 30000
	req.ProducerID, req.ProducerEpoch = id, epoch
	resp := ask[*kmsg.InitProducerIDResponse](p.s, label, 5, req)
	if resp.ErrorCode == 0 {
		p.id, p.epoch = resp.ProducerID, resp.ProducerEpoch
	}
	return resp
}

func (p *producer) add(label string, version int16, topic string, partitions ...int32) {
	p.s.t.Helper()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = p.txnID, p.id, p.epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: p.s.n(topic), Partitions: partitions}}
	t := kmsg.NewAddPartitionsToTxnRequestTransaction()
	t.TransactionalID, t.ProducerID, t.ProducerEpoch = p.txnID, p.id, p.epoch
	t.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: p.s.n(topic), Partitions: partitions}}
	req.Transactions = append(req.Transactions, t)
	ask[*kmsg.AddPartitionsToTxnResponse](p.s, label, version, req)
}

func (p *producer) produce(label string, version int16, topic string, seq int32, values ...string) *kmsg.ProduceResponse {
	p.s.t.Helper()
	b := p.s.batch(record.Options{Idempotent: true, Transactional: true, ProducerID: p.id, ProducerEpoch: p.epoch, BaseSequence: seq}, values...)
	req := produceRequest(p.s.n(topic), 0, b)
	req.TransactionID = &p.txnID
	return ask[*kmsg.ProduceResponse](p.s, label, version, req)
}

func (p *producer) end(label string, version int16, commit bool) *kmsg.EndTxnResponse {
	p.s.t.Helper()
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = p.txnID, p.id, p.epoch, commit
	resp := ask[*kmsg.EndTxnResponse](p.s, label, version, req)
	if version >= 5 && resp.ErrorCode == 0 {
		p.id, p.epoch = resp.ProducerID, resp.ProducerEpoch
	}
	return resp
}

// again ends the transaction as one would who did not hear the first answer, and
// does not hear this one either.
func (p *producer) again(label string, commit bool) {
	p.s.t.Helper()
	deaf := *p
	deaf.end(label, 5, commit)
}

func (p *producer) commitOffset(label string, version int16, group, topic string, offset int64, edit ...func(*kmsg.TxnOffsetCommitRequest)) {
	p.s.t.Helper()
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = p.txnID, p.s.n(group), p.id, p.epoch, -1
	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Offset, part.Metadata = offset, pointer("m")
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: p.s.n(topic), Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{part}}}
	for _, e := range edit {
		e(req)
	}
	ask[*kmsg.TxnOffsetCommitResponse](p.s, label, version, req)
}

func (s *session) describeTxn(label string, ids ...string) {
	s.t.Helper()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	for _, id := range ids {
		req.TransactionalIDs = append(req.TransactionalIDs, s.n(id))
	}
	settled := func(r *kmsg.DescribeTransactionsResponse) bool {
		for _, t := range r.TransactionStates {
			if t.State == "PrepareCommit" || t.State == "PrepareAbort" {
				return false
			}
		}
		return true
	}
	until(s, label, 0, req, settled)
}

// markers waits until a topic's open transactions have ended, and reads it.
func (s *session) markers(label, topic string, end int64) {
	s.t.Helper()
	req := fetchRequest(s.n(topic), 0)
	req.IsolationLevel = 1
	until(s, label, 12, req, func(r *kmsg.FetchResponse) bool {
		return r.Topics[0].Partitions[0].LastStableOffset == end
	})
	s.fetch(label+", uncommitted too", topic, 0)
}

// written reads what is committed once the log is as long as it will be: markers
// come after the answer.
func (s *session) written(label, topic string, end int64) {
	s.t.Helper()
	req := fetchRequest(s.n(topic), 0)
	req.IsolationLevel = 1
	until(s, label, 12, req, func(r *kmsg.FetchResponse) bool { return r.Topics[0].Partitions[0].HighWatermark == end })
}

// txnOld is how clients before KIP-890 do it.
func txnOld(s *session) {
	s.create("t", 2)
	p := s.producer("one")
	p.produce("not added", 9, "t", 0, "a")
	p.produce("not added, newer", 11, "t", 0, "a")
	p.add("add", 3, "t", 0)
	p.add("add again", 3, "t", 0, 1)
	p.add("add what is not there", 3, "t", 1, 7)
	p.add("add an unknown topic", 3, "none", 0)
	p.produce("first", 9, "t", 0, "a", "b")
	p.produce("duplicate", 9, "t", 0, "a", "b")
	p.produce("gap", 9, "t", 5, "a")
	s.describeTxn("open", "one", "none")
	s.fetch("read committed, open", "t", 0, committed)
	ask[*kmsg.ListOffsetsResponse](s, "committed end", 7, edited(listOffsetsRequest(s.n("t"), -1), func(r *kmsg.ListOffsetsRequest) { r.IsolationLevel = 1 }))
	p.end("commit", 3, true)
	s.describeTxn("committed", "one")
	p.end("commit again", 3, true)
	p.end("abort after commit", 3, false)
	s.markers("after commit", "t", 3)
	p.add("next", 3, "t", 0)
	p.produce("next", 9, "t", 2, "c")
	s.produce("without a transaction", "t", s.batch(record.Options{}, "plain"))
	p.end("abort", 3, false)
	s.markers("after abort", "t", 6)
	p.end("abort again", 3, false)
	p.end("commit after abort", 3, true)

	stale := *p
	stale.epoch--
	stale.add("stale epoch", 3, "t", 0)
	stale.add("stale epoch, older", 0, "t", 0)
	stale.end("stale epoch", 3, true)
	stale.end("stale epoch, older", 0, true)
	stale.produce("stale epoch", 9, "t", 0, "x")
	other := *p
	other.id += 1000
	other.add("another's id", 3, "t", 0)
	other.end("another's id", 3, true)
	other.txnID = s.n("never")
	other.add("unknown transactional id", 3, "t", 0)
	other.end("unknown transactional id", 3, true)

	p.add("open", 3, "t", 0)
	p.produce("open", 9, "t", 3, "d")
	second := &producer{s: s, txnID: p.txnID, id: -1, epoch: -1}
	second.init("another takes over", -1, -1)
	p.end("the first is fenced", 3, true)
	p.add("the first is fenced", 3, "t", 0)
	p.produce("the first is fenced", 9, "t", 4, "e")
	s.markers("its transaction is aborted", "t", 8)
	second.init("goes on after a failure", second.id, second.epoch)
	(&producer{s: s, txnID: p.txnID}).init("one that was fenced goes on", p.id, p.epoch)

	for _, ms := range []int32{0, -1, 900000, 900001} {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = pointer(s.n("timeout")), ms
		ask[*kmsg.InitProducerIDResponse](s, "a timeout", 4, req)
	}
	for _, v := range s.versions(kmsg.InitProducerID) {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = pointer(""), 1000
		ask[*kmsg.InitProducerIDResponse](s, "an empty id", v, req)
		req.TransactionalID = nil
		ask[*kmsg.InitProducerIDResponse](s, "no id", v, req)
		if v >= 3 {
			req.ProducerID, req.ProducerEpoch = 5, -1
			ask[*kmsg.InitProducerIDResponse](s, "half a producer", v, req)
		}
	}
	filter := kmsg.NewPtrListTransactionsRequest()
	filter.ProducerIDFilters, filter.StateFilters, filter.DurationFilterMillis = []int64{p.id}, []string{"Empty", "Ongoing", "CompleteAbort", "Nonsense"}, -1
	ask[*kmsg.ListTransactionsResponse](s, "list", 1, filter)
}

// txnNew is how clients do it since KIP-890: partitions are added by writing, and
// every end raises the epoch.
func txnNew(s *session) {
	s.create("t", 1)
	p := s.producer("one")
	p.end("commit of nothing", 5, true)
	p.end("abort of nothing", 5, false)
	s.describeTxn("after it", "one")
	p.produce("first", 12, "t", 0, "a")
	before := *p
	p.end("commit", 5, true)
	s.describeTxn("committed", "one")
	before.again("commit again", true)
	before.again("abort instead", false)
	before.produce("late record", 12, "t", 1, "late")
	p.produce("next begins with sequence 0", 12, "t", 0, "b")
	p.produce("gap", 12, "t", 7, "b")
	before = *p
	p.end("abort", 5, false)
	s.describeTxn("aborted", "one")
	before.again("abort again", false)
	before.again("commit instead", true)
	s.markers("what is there", "t", 4)
	p.end("commit of nothing after abort", 5, true)
	p.produce("again", 12, "t", 0, "c")
	fresh := &producer{s: s, txnID: p.txnID, id: -1, epoch: -1}
	fresh.init("another takes over", -1, -1)
	s.describeTxn("taken over", "one")
	p.produce("the first is fenced", 12, "t", 1, "d")
	p.end("the first is fenced", 5, true)
	s.markers("its transaction is aborted", "t", 6)
	fresh.produce("goes on", 12, "t", 0, "e")
	fresh.end("commit, as old clients do", 4, true)
	s.describeTxn("committed", "one")
	unknown := &producer{s: s, txnID: s.n("never"), id: 77, epoch: 0}
	unknown.produce("unknown transactional id", 12, "t", 0, "x")
	unknown.produce("unknown transactional id, older", 9, "t", 0, "x")
	mine := *fresh
	mine.txnID = s.n("never")
	mine.produce("under another's name", 12, "t", 1, "x")
	bare := produceRequest(s.n("t"), 0, s.batch(record.Options{Idempotent: true, Transactional: true, ProducerID: fresh.id, ProducerEpoch: fresh.epoch, BaseSequence: 1}, "x"))
	ask[*kmsg.ProduceResponse](s, "transactional, without a name", 12, bare)
	plain := produceRequest(s.n("t"), 0, s.batch(record.Options{Idempotent: true, ProducerID: fresh.id, ProducerEpoch: fresh.epoch, BaseSequence: 1}, "x"))
	plain.TransactionID = &fresh.txnID
	ask[*kmsg.ProduceResponse](s, "not transactional, with a name", 12, plain)
	fresh.add("verify only needs a broker", 4, "t", 0)
}

func txnAborted(s *session) {
	s.create("t", 1)
	a, b, c := s.producer("a"), s.producer("b"), s.producer("c")
	a.produce("a", 12, "t", 0, "a0")
	b.produce("b", 12, "t", 0, "b0")
	c.produce("c", 12, "t", 0, "c0")
	a.produce("a", 12, "t", 1, "a1")
	b.end("abort b", 5, false)
	s.written("two open", "t", 5)
	c.end("commit c", 5, true)
	s.written("one open", "t", 6)
	a.end("abort a", 5, false)
	s.markers("all ended", "t", 7)
	s.fetch("from the middle", "t", 3, committed)
	s.fetch("at the end", "t", 7, committed)
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: s.n("t"), Partitions: []int32{0}}}
	ask[*kmsg.DescribeProducersResponse](s, "producers", 0, req)
}

func txnOffsets(s *session) {
	id := s.create("t", 1)
	p := s.producer("one")
	p.commitOffset("not added", 3, "g", "t", 5)
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = p.txnID, p.id, p.epoch, s.n("g")
	for _, v := range s.versions(kmsg.AddOffsetsToTxn) {
		ask[*kmsg.AddOffsetsToTxnResponse](s, "add offsets", v, req)
	}
	p.commitOffset("commit", 3, "g", "t", 5)
	p.commitOffset("unknown topic", 3, "g", "none", 5)
	p.commitOffset("a member that is not", 3, "g", "t", 6, func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID, r.Generation = "x", 3 })
	p.commitOffset("a generation that is not", 3, "g", "t", 6, func(r *kmsg.TxnOffsetCommitRequest) { r.Generation = 3 })
	long := string(make([]byte, 5000))
	p.commitOffset("long metadata", 3, "g", "t", 6, func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = &long })
	s.offsets("before the end", "g", "t", false)
	s.offsets("before the end, stable", "g", "t", true)
	p.end("commit", 4, true)
	s.offsetsAre("after it", "g", "t", 5)
	p.commitOffset("implicitly", 5, "g", "t", 9)
	s.offsets("not yet", "g", "t", false)
	p.end("abort", 5, false)
	s.describeTxn("aborted", "one")
	s.offsetsAre("aborted", "g", "t", 5)
	if s.last(kmsg.TxnOffsetCommit) >= 6 {
		p.commitOffset("by id", 6, "g", "t", 11, func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].TopicID = id })
		p.commitOffset("by an unknown id", 6, "g", "t", 11, func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].TopicID = [16]byte{7} })
		p.end("commit", 5, true)
		s.offsetsAre("after it", "g", "t", 11)
	}
	p.commitOffset("an empty group", 5, "", "t", 9, func(r *kmsg.TxnOffsetCommitRequest) { r.Group = "" })
}
