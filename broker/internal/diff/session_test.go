package diff

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// scenario is a sequence of requests.
type scenario struct {
	name string
	run  func(*session)
}

// session runs a scenario on one server and keeps its transcript.
type session struct {
	t     *testing.T
	addr  string
	r     *renderer
	lines []string
	first *conn
}

// transcript runs a scenario on the server at addr.
func transcript(t *testing.T, addr string, sc scenario) []string {
	t.Helper()
	s := &session{t: t, addr: addr, r: &renderer{
		prefix: "d" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-",
		epoch:  time.Now().Add(-time.Hour).Truncate(time.Second),
		names:  map[string]string{}, counts: map[string]int{},
	}}
	s.first = s.dial()
	for kind := range int8(2) {
		// Kafka makes its internal topics when someone asks for a coordinator.
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey, req.CoordinatorType = s.n("x"), kind
		silently(s, 3, req, func(r *kmsg.FindCoordinatorResponse) bool { return r.ErrorCode == 0 })
	}
	sc.run(s)
	return s.lines
}

func (s *session) dial() *conn { return dial(s.t, s.addr) }

// n is a name that nobody else has, on a server that others use as well.
func (s *session) n(name string) string { return s.r.prefix + name }

// at is a timestamp: ms after the scenario's own beginning.
func (s *session) at(ms int64) int64 { return s.r.epoch.UnixMilli() + ms }

// passing are the codes that only say that something is under way; who gets one
// asks again.
var passing = map[int16]bool{5: true, 14: true, 15: true, 16: true, 51: true}

// ask sends a request in a version and keeps the answer in the transcript.
func ask[R kmsg.Response](s *session, label string, version int16, req kmsg.Request) R {
	s.t.Helper()
	return until(s, label, version, req, func(R) bool { return true })
}

// until asks until the answer is as it will be: a cluster's nodes learn of changes
// one after the other. What the last answer is, is in the transcript.
func until[R kmsg.Response](s *session, label string, version int16, req kmsg.Request, settled func(R) bool) R {
	s.t.Helper()
	req.SetVersion(version)
	begin := time.Now()
	for {
		resp := begun[R]{s: s, c: s.first, label: label, req: req}.send().receive()
		if resp == nil {
			s.first = s.dial()
			s.note(label, req, []string{"the server closes the connection"})
			var none R
			return none
		}
		if time.Since(begin) < time.Minute && (has(reflect.ValueOf(resp).Elem(), passing) || !settled(resp.(R))) {
			<-time.After(20 * time.Millisecond)
			continue
		}
		s.note(label, req, s.r.lines(resp))
		return resp.(R)
	}
}

// silently asks as until does, and leaves nothing in the transcript.
func silently[R kmsg.Response](s *session, version int16, req kmsg.Request, settled func(R) bool) R {
	s.t.Helper()
	kept := len(s.lines)
	resp := until(s, "", version, req, settled)
	s.lines = s.lines[:kept]
	return resp
}

// begun is a request whose answer is waited for later: a group's members wait for
// each other.
type begun[R kmsg.Response] struct {
	s     *session
	c     *conn
	label string
	req   kmsg.Request
	id    int32
	err   error
}

// begin sends a request on a connection.
func begin[R kmsg.Response](s *session, c *conn, label string, version int16, req kmsg.Request) begun[R] {
	s.t.Helper()
	req.SetVersion(version)
	return begun[R]{s: s, c: c, label: label, req: req}.send()
}

func (b begun[R]) send() begun[R] {
	b.id, b.err = b.c.send(b.req)
	return b
}

// receive returns the answer, nil when the server closed the connection.
func (b begun[R]) receive() kmsg.Response {
	b.s.t.Helper()
	var resp kmsg.Response
	if b.err == nil {
		resp, b.err = b.c.receive(b.req, b.id)
	}
	if b.err != nil && !errors.Is(b.err, errClosed) {
		b.s.t.Fatalf("%s: %v", b.label, b.err)
	}
	if b.err != nil {
		return nil
	}
	return resp
}

// end waits for the answer and keeps it in the transcript.
func (b begun[R]) end() R {
	b.s.t.Helper()
	resp := b.receive()
	if resp == nil {
		b.s.note(b.label, b.req, []string{"the server closes the connection"})
		var none R
		return none
	}
	b.s.note(b.label, b.req, b.s.r.lines(resp))
	return resp.(R)
}

// silent says that a request is not answered: another one, sent after it on the
// same connection, is.
func (s *session) silent(label string, version int16, req kmsg.Request) {
	s.t.Helper()
	req.SetVersion(version)
	c := s.dial()
	if _, err := c.send(req); err != nil {
		s.t.Fatal(err)
	}
	after := kmsg.NewPtrApiVersionsRequest()
	id, err := c.send(after)
	if err == nil {
		_, err = c.receive(after, id)
	}
	switch {
	case err == nil:
		s.note(label, req, []string{"no answer"})
	case errors.Is(err, errClosed):
		s.note(label, req, []string{"the server closes the connection"})
	default:
		s.t.Fatal(err)
	}
}

// raw sends a frame as it is, on a connection of its own, and keeps the answer's
// bytes, or that there is none.
func (s *session) raw(label string, frame []byte) {
	s.t.Helper()
	c := s.dial()
	err := c.write(frame)
	var answer []byte
	if err == nil {
		answer, err = c.frame()
	}
	var timeout net.Error
	switch {
	case err == nil:
		s.lines = append(s.lines, "== "+label, fmt.Sprintf("answer = %d bytes, begins %x", len(answer), answer[:min(len(answer), 12)]))
	case errors.As(err, &timeout) && timeout.Timeout():
		s.lines = append(s.lines, "== "+label, "no answer")
	default:
		s.lines = append(s.lines, "== "+label, "the server closes the connection")
	}
}

func (s *session) note(label string, req kmsg.Request, lines []string) {
	s.lines = append(s.lines, fmt.Sprintf("== %s: %s v%d", label, kmsg.NameForKey(req.Key()), req.GetVersion()))
	s.lines = append(s.lines, lines...)
}

// has reports whether an error code anywhere in v is one of codes.
func has(v reflect.Value, codes map[int16]bool) bool {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Name == "UnknownTags" {
				continue
			}
			if f.Name == "ErrorCode" && codes[int16(v.Field(i).Int())] || has(v.Field(i), codes) {
				return true
			}
		}
	case reflect.Pointer:
		return !v.IsNil() && has(v.Elem(), codes)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				if has(v.Index(i), codes) {
					return true
				}
			}
		}
	}
	return false
}

// span is a range of versions.
type span struct{ min, max int16 }

// versions are the versions of a request that both servers and kmsg know: what
// Apache Kafka advertises is kept in testdata/versions.txt.
func (s *session) versions(key kmsg.Key) []int16 {
	s.t.Helper()
	theirs := loadVersions(s.t)[int16(key)]
	ours := ourVersions(s.t)[int16(key)]
	var out []int16
	for v := max(theirs.min, ours.min); v <= min(theirs.max, ours.max, kmsg.RequestForKey(int16(key)).MaxVersion()); v++ {
		out = append(out, v)
	}
	return out
}

// last is the newest of versions, at most limit.
func (s *session) last(key kmsg.Key) int16 {
	s.t.Helper()
	all := s.versions(key)
	if len(all) == 0 {
		s.t.Fatalf("%s is not in testdata/versions.txt: run with -rewrite", key.Name())
	}
	return all[len(all)-1]
}

const versionsFile = "testdata/versions.txt"

func loadVersions(t testing.TB) map[int16]span {
	t.Helper()
	f, err := os.Open(versionsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[int16]span{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var key int16
		var v span
		if strings.HasPrefix(sc.Text(), "#") {
			continue
		}
		if _, err := fmt.Sscan(sc.Text(), &key, &v.min, &v.max); err != nil {
			t.Fatalf("%s: %q: %v", versionsFile, sc.Text(), err)
		}
		out[key] = v
	}
	return out
}

// askVersions asks a server which versions it speaks.
func askVersions(t testing.TB, addr string) map[int16]span {
	t.Helper()
	req := kmsg.NewPtrApiVersionsRequest()
	c := dial(t, addr)
	id, err := c.send(req)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.receive(req, id)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int16]span{}
	for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
		out[k.ApiKey] = span{k.MinVersion, k.MaxVersion}
	}
	return out
}
