package api

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/coordinator"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/txn"
)

// fenced is the code for a fenced producer as a version of a request knows it.
func fenced(code, version, since int16) int16 {
	if code == errcode.ProducerFenced && version < since {
		return errcode.InvalidProducerEpoch
	}
	return code
}

func (h *Handler) addPartitionsToTxn(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AddPartitionsToTxnRequest)
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if req.Version < 4 {
		t := kmsg.NewAddPartitionsToTxnRequestTransaction()
		t.TransactionalID, t.ProducerID, t.ProducerEpoch = req.TransactionalID, req.ProducerID, req.ProducerEpoch
		for _, rt := range req.Topics {
			t.Topics = append(t.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: rt.Topic, Partitions: rt.Partitions})
		}
		for _, a := range h.addToTxn(ctx, c, &t).Topics {
			out := kmsg.NewAddPartitionsToTxnResponseTopic()
			out.Topic = a.Topic
			for _, p := range a.Partitions {
				op := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				op.Partition, op.ErrorCode = p.Partition, p.ErrorCode
				out.Partitions = append(out.Partitions, op)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil
	}
	// From version 4 on the request is one of brokers, on behalf of many clients.
	if !h.allowed(c, auth.ClusterAction, auth.Cluster, auth.ClusterName) {
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
		return resp, nil
	}
	for i := range req.Transactions {
		resp.Transactions = append(resp.Transactions, h.addToTxn(ctx, c, &req.Transactions[i]))
	}
	return resp, nil
}

// addToTxn adds the partitions of one transaction, all or none, or only says
// whether they are in it.
func (h *Handler) addToTxn(ctx context.Context, c *call, t *kmsg.AddPartitionsToTxnRequestTransaction) kmsg.AddPartitionsToTxnResponseTransaction {
	out := kmsg.NewAddPartitionsToTxnResponseTransaction()
	out.TransactionalID = t.TransactionalID
	var partitions []txn.Partition
	var codes []int16
	refused := errcode.None
	if !h.allowed(c, auth.Write, auth.TransactionalID, t.TransactionalID) {
		refused = errcode.TransactionalIDAuthorizationFailed
	}
	bad := false
	for _, rt := range t.Topics {
		topic := c.img.Topic(rt.Topic)
		for _, p := range rt.Partitions {
			code := refused
			switch {
			case code != errcode.None:
			case !h.allowed(c, auth.Write, auth.Topic, rt.Topic):
				code = errcode.TopicAuthorizationFailed
			case topic == nil || p < 0 || p >= topic.Partitions():
				code = errcode.UnknownTopicOrPartition
			}
			bad = bad || code != errcode.None
			partitions, codes = append(partitions, txn.Partition{Topic: rt.Topic, Index: p}), append(codes, code)
		}
	}
	switch {
	case refused != errcode.None:
	case bad:
		for i := range codes {
			if codes[i] == errcode.None {
				codes[i] = errcode.OperationNotAttempted
			}
		}
	case t.VerifyOnly:
		codes = h.txns.Write(ctx, t.TransactionalID, t.ProducerID, t.ProducerEpoch, partitions, false, func(int) {})
		for i := range codes {
			if codes[i] == errcode.InvalidTxnState && c.req.Version >= 5 {
				codes[i] = errcode.TransactionAbortable
			}
		}
	default:
		code := h.txns.Add(ctx, t.TransactionalID, t.ProducerID, t.ProducerEpoch, partitions)
		for i := range codes {
			codes[i] = fenced(code, c.req.Version, 2)
		}
	}
	n := 0
	for _, rt := range t.Topics {
		ot := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
		ot.Topic = rt.Topic
		for _, p := range rt.Partitions {
			op := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
			op.Partition, op.ErrorCode = p, codes[n]
			ot.Partitions = append(ot.Partitions, op)
			n++
		}
		out.Topics = append(out.Topics, ot)
	}
	return out
}

func (h *Handler) addOffsetsToTxn(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AddOffsetsToTxnRequest)
	resp := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	if !h.allowed(c, auth.Write, auth.TransactionalID, req.TransactionalID) {
		resp.ErrorCode = errcode.TransactionalIDAuthorizationFailed
		return resp, nil
	}
	if resp.ErrorCode = h.readGroup(c, req.Group); resp.ErrorCode != errcode.None {
		return resp, nil
	}
	p, code := h.txns.OffsetsPartition(ctx, req.Group)
	if code == errcode.None {
		code = h.txns.Add(ctx, req.TransactionalID, req.ProducerID, req.ProducerEpoch, []txn.Partition{p})
	}
	resp.ErrorCode = fenced(code, req.Version, 2)
	return resp, nil
}

func (h *Handler) endTxn(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.EndTxnRequest)
	resp := req.ResponseKind().(*kmsg.EndTxnResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if !h.allowed(c, auth.Write, auth.TransactionalID, req.TransactionalID) {
		resp.ErrorCode = errcode.TransactionalIDAuthorizationFailed
		return resp, nil
	}
	version := int16(1)
	if req.Version >= 5 {
		version = 2
	}
	r := h.txns.End(ctx, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit, version)
	resp.ErrorCode = fenced(r.Code, req.Version, 2)
	if r.Code == errcode.None {
		resp.ProducerID, resp.ProducerEpoch = r.ProducerID, r.Epoch
	}
	return resp, nil
}

func (h *Handler) txnOffsetCommit(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.TxnOffsetCommitRequest)
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	refused := h.readGroup(c, req.Group)
	if !h.allowed(c, auth.Write, auth.TransactionalID, req.TransactionalID) {
		refused = errcode.TransactionalIDAuthorizationFailed
	}
	byID := req.Version >= 6
	var commits []coordinator.Commit
	type place struct{ topic, partition int }
	var places []place
	for i, t := range req.Topics {
		out := kmsg.NewTxnOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		topic, code := h.offsetTopic(c, t.Topic, t.TopicID, byID)
		if refused != errcode.None {
			code = refused
		}
		for j, p := range t.Partitions {
			a := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			a.Partition, a.ErrorCode = p.Partition, code
			if code == errcode.None && (p.Partition < 0 || p.Partition >= topic.Partitions()) {
				a.ErrorCode = errcode.UnknownTopicOrPartition
			}
			if a.ErrorCode == errcode.None {
				commits, places = append(commits, commitOf(topic, p.Partition, p.Offset, p.LeaderEpoch, req.Version >= 2, p.Metadata)), append(places, place{i, j})
			}
			out.Partitions = append(out.Partitions, a)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if len(commits) == 0 {
		return resp, nil
	}
	by := coordinator.Committer{Generation: -1}
	if req.Version >= 3 {
		by = coordinator.Committer{MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation}
	}
	codes := make([]int16, len(commits))
	p, code := h.txns.OffsetsPartition(ctx, req.Group)
	if code == errcode.None {
		// Version 5 adds the group's partition to the transaction by itself (KIP-890).
		code = h.txns.Write(ctx, req.TransactionalID, req.ProducerID, req.ProducerEpoch, []txn.Partition{p}, req.Version >= 5, func(int) {
			codes = h.groups.CommitTxnOffsets(ctx, req.Group, by, req.ProducerID, req.ProducerEpoch, commits)
		})[0]
	}
	for n, at := range places {
		a := &resp.Topics[at.topic].Partitions[at.partition]
		if a.ErrorCode = h.hit(codes[n]); code != errcode.None {
			a.ErrorCode = fenced(code, 0, 1) // the code of this request for any stale epoch
		}
	}
	return resp, nil
}

func (h *Handler) writeTxnMarkers(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.WriteTxnMarkersRequest)
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	allowed := h.allowed(c, auth.ClusterAction, auth.Cluster, auth.ClusterName) || h.allowed(c, auth.Alter, auth.Cluster, auth.ClusterName)
	for _, m := range req.Markers {
		out := kmsg.NewWriteTxnMarkersResponseMarker()
		out.ProducerID = m.ProducerID
		for _, t := range m.Topics {
			ot := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			ot.Topic = t.Topic
			for _, p := range t.Partitions {
				op := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				op.Partition, op.ErrorCode = p, errcode.ClusterAuthorizationFailed
				if allowed {
					op.ErrorCode = h.txns.WriteMarker(ctx, txn.Partition{Topic: t.Topic, Index: p}, m.ProducerID, m.ProducerEpoch,
						record.Marker{Commit: m.Committed, CoordinatorEpoch: m.CoordinatorEpoch})
				}
				ot.Partitions = append(ot.Partitions, op)
			}
			out.Topics = append(out.Topics, ot)
		}
		resp.Markers = append(resp.Markers, out)
	}
	return resp, nil
}

func (h *Handler) describeTransactions(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	for _, id := range unique(req.TransactionalIDs, self) {
		out := kmsg.NewDescribeTransactionsResponseTransactionState()
		out.TransactionalID, out.ProducerID, out.ProducerEpoch, out.StartTimestamp = id, -1, -1, -1
		var t *txn.Txn
		if out.ErrorCode = errcode.TransactionalIDAuthorizationFailed; h.allowed(c, auth.Describe, auth.TransactionalID, id) {
			t, out.ErrorCode = h.txns.Describe(ctx, id)
			if t == nil && out.ErrorCode == errcode.None {
				out.ErrorCode = errcode.TransactionalIDNotFound
			}
		}
		if t != nil {
			out.State, out.TimeoutMillis = t.State.String(), int32(t.Timeout.Milliseconds())
			out.ProducerID, out.ProducerEpoch = t.ProducerID, t.Epoch
			if !t.Started.IsZero() {
				out.StartTimestamp = t.Started.UnixMilli()
			}
			for _, p := range t.Sorted() {
				if !h.allowed(c, auth.Describe, auth.Topic, p.Topic) {
					continue
				}
				n := len(out.Topics)
				if n == 0 || out.Topics[n-1].Topic != p.Topic {
					out.Topics = append(out.Topics, kmsg.DescribeTransactionsResponseTransactionStateTopic{Topic: p.Topic})
					n++
				}
				out.Topics[n-1].Partitions = append(out.Topics[n-1].Partitions, p.Index)
			}
		}
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	return resp, nil
}

func (h *Handler) listTransactions(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ListTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	known := []string{}
	for s := txn.Empty; s <= txn.CompleteAbort; s++ {
		known = append(known, s.String())
	}
	var states []string
	for _, s := range req.StateFilters {
		if slices.Contains(known, s) {
			states = append(states, s)
		} else {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, s)
		}
	}
	var pattern *regexp.Regexp
	if req.TransactionalIDPattern != nil && *req.TransactionalIDPattern != "" {
		var err error
		if pattern, err = regexp.Compile("^(?:" + *req.TransactionalIDPattern + ")$"); err != nil {
			resp.ErrorCode = errcode.InvalidRegularExpression
			return resp, nil //nolint:nilerr // the code says it
		}
	}
	list, code := h.txns.List(ctx)
	resp.ErrorCode = code
	now := time.Now()
	for _, t := range list {
		switch {
		case len(req.StateFilters) > 0 && !slices.Contains(states, t.State.String()),
			len(req.ProducerIDFilters) > 0 && !slices.Contains(req.ProducerIDFilters, t.ProducerID),
			req.DurationFilterMillis >= 0 && req.Version >= 1 && (t.Started.IsZero() || now.Sub(t.Started) < time.Duration(req.DurationFilterMillis)*time.Millisecond),
			pattern != nil && !pattern.MatchString(t.ID),
			!h.allowed(c, auth.Describe, auth.TransactionalID, t.ID):
			continue
		}
		out := kmsg.NewListTransactionsResponseTransactionState()
		out.TransactionalID, out.ProducerID, out.TransactionState = t.ID, t.ProducerID, t.State.String()
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	slices.SortFunc(resp.TransactionStates, func(a, b kmsg.ListTransactionsResponseTransactionState) int {
		return strings.Compare(a.TransactionalID, b.TransactionalID)
	})
	return resp, nil
}

func (h *Handler) describeProducers(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeProducersRequest)
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	seen := map[txn.Partition]bool{}
	for _, t := range req.Topics {
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = t.Topic
		topic := c.img.Topic(t.Topic)
		for _, p := range t.Partitions {
			if seen[txn.Partition{Topic: t.Topic, Index: p}] {
				continue
			}
			seen[txn.Partition{Topic: t.Topic, Index: p}] = true
			op := kmsg.NewDescribeProducersResponseTopicPartition()
			op.Partition = p
			switch {
			case !h.allowed(c, auth.Read, auth.Topic, t.Topic):
				op.ErrorCode = errcode.TopicAuthorizationFailed
			case topic == nil:
				op.ErrorCode = errcode.UnknownTopicOrPartition
			default:
				op.ErrorCode, op.ActiveProducers = h.producersOf(ctx, topic, p)
			}
			out.Partitions = append(out.Partitions, op)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (h *Handler) producersOf(ctx context.Context, t *cluster.Topic, index int32) (int16, []kmsg.DescribeProducersResponseTopicPartitionActiveProducer) {
	part, err := h.topics.Get(t, index)
	if err != nil {
		code, _ := h.code(err)
		return code, nil
	}
	producers, err := part.Producers(ctx)
	if err != nil {
		code, _ := h.code(err)
		return code, nil
	}
	var out []kmsg.DescribeProducersResponseTopicPartitionActiveProducer
	for _, p := range producers {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch, a.LastSequence = p.ProducerID, int32(p.Epoch), p.LastSequence
		a.LastTimestamp, a.CoordinatorEpoch, a.CurrentTxnStartOffset = p.LastTimestamp, p.CoordinatorEpoch, p.TxnStartOffset
		out = append(out, a)
	}
	return errcode.None, out
}
