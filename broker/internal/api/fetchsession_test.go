package api

import (
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// TestSessionIsUsedByItsOwner: who names the session of another does not keep it from
// being unused.
func TestSessionIsUsedByItsOwner(t *testing.T) {
	now := time.Unix(0, 0)
	f := newFetchSessions(1, 10, &limit.Hits{}, func() time.Time { return now })
	begin := &wire.FetchRequest{Topics: []wire.FetchTopic{{Name: "t", Partitions: make([]wire.FetchPartition, 1)}}}
	resolve := func(principal string, req *wire.FetchRequest) (*fetchSession, int16) {
		s, _, code := f.resolve(&call{Session: &Session{Principal: principal}, req: &wire.Request{Version: 12}}, req)
		if s != nil {
			s.mu.Unlock()
		}
		return s, code
	}
	s, _ := resolve("User:alice", begin)
	now = now.Add(minEviction)
	if _, code := resolve("User:bob", &wire.FetchRequest{SessionID: s.id, SessionEpoch: 1}); code != errcode.FetchSessionIDNotFound {
		t.Errorf("another goes on with it: code %d", code)
	}
	if s, _ := resolve("User:bob", begin); s == nil {
		t.Error("the session, unused for long, does not make room")
	}
}
