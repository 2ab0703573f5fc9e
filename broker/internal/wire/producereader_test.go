package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
)

// parts reads the body of a request, of which the first have bytes are there and the rest
// comes from r. No batch may take much more memory than it has bytes.
func parts(version int16, body []byte, have int, r io.Reader) (*ProduceRequest, error) {
	p := NewProduceReader(&Request{
		Version: version, Body: body[:have:have], Rest: &Rest{r: bufio.NewReaderSize(r, 16), left: len(body) - have},
	})
	req, err := p.Start()
	if err != nil {
		return nil, err
	}
	for {
		t, ok, err := p.Topic()
		if err != nil {
			return nil, err
		}
		if !ok {
			return req, nil
		}
		for {
			part, ok, err := p.Partition()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			if len(part.Records) < 4<<10 && cap(part.Records) > 4*len(part.Records)+64 {
				return nil, fmt.Errorf("a batch of %d bytes takes %d", len(part.Records), cap(part.Records))
			}
			t.Partitions = append(t.Partitions, part)
		}
		req.Topics = append(req.Topics, t)
	}
}

// TestProduceReader: a request that comes in parts is read as one that is whole, however
// it is cut, and what follows it in the frame is read over.
func TestProduceReader(t *testing.T) {
	PoisonBuffers(true)
	defer PoisonBuffers(false)
	rng := rand.New(rand.NewPCG(15, 16))
	for range 30 {
		for v := int16(3); v <= 13; v++ {
			body := randomRequest(rng, KeyProduce, v).AppendTo(nil)
			want, err := ParseProduce(v, body)
			if err != nil {
				t.Fatal(err)
			}
			body = append(body, make([]byte, rng.IntN(3)*100)...)
			have := rng.IntN(len(body) + 1)
			for name, r := range map[string]io.Reader{
				"at once": bytes.NewReader(body[have:]), "by bytes": iotest.OneByteReader(bytes.NewReader(body[have:])),
			} {
				rest := bufio.NewReader(io.MultiReader(r, bytes.NewReader([]byte("next"))))
				got, err := parts(v, body, have, rest)
				if err != nil {
					t.Fatalf("v%d, %s: %v", v, name, err)
				}
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("v%d, %s: %s", v, name, diff)
				}
				if next, err := io.ReadAll(rest); err != nil || string(next) != "next" {
					t.Fatalf("v%d, %s: behind it is %q, %v", v, name, next, err)
				}
			}
			cut := have + rng.IntN(len(body)-have+1)
			if _, err := parts(v, body, have, bytes.NewReader(body[have:cut])); cut < len(body) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("v%d, %d bytes of %d: the error is %v", v, cut, len(body), err)
			}
		}
	}
}

// TestFrameInParts: which frames are read in parts, and that the next frame is found
// behind one, whether its rest was read, read over, or wanted at once.
func TestFrameInParts(t *testing.T) {
	id := "id"
	for _, c := range []struct {
		name string
		size int
		edit func(*kmsg.ProduceRequest)
		want bool
	}{
		{"a large one", partsFrom, nil, true},
		{"a small one", partsFrom - 1000, nil, false},
		{"one with a transaction", partsFrom, func(r *kmsg.ProduceRequest) { r.TransactionID = &id }, false},
		{"one of a version that is not answered", partsFrom, func(r *kmsg.ProduceRequest) { r.SetVersion(2) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := kmsg.NewPtrProduceRequest()
			k.SetVersion(9)
			k.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 3, Records: make([]byte, c.size)}}}}
			if c.edit != nil {
				c.edit(k)
			}
			in := kmsg.NewRequestFormatter(kmsg.FormatterClientID("c")).AppendRequest(nil, k, 7)
			frame := in[4:]
			for _, read := range []func(*Request) error{
				(*Request).Whole,
				func(q *Request) error { return q.Rest.Discard() },
				func(q *Request) error {
					header := len(q.Frame) - len(q.Body)
					got, err := parts(q.Version, frame[header:], len(q.Body), q.Rest.r)
					if err == nil && len(got.Topics[0].Partitions[0].Records) != c.size {
						t.Error("the records have another size")
					}
					return err
				},
			} {
				r := bufio.NewReader(bytes.NewReader(append(bytes.Clone(in), frameOf(8, []byte{0, 1, 0, 9, 0, 0, 0, 1})...)))
				got, rest, err := ReadFrame(r, testLimits, true, nil)
				if err != nil {
					t.Fatal(err)
				}
				if (rest != nil) != c.want {
					t.Fatalf("in parts is %v", rest != nil)
				}
				if rest == nil {
					if !bytes.Equal(got, frame) {
						t.Error("the frame has other bytes")
					}
					return
				}
				q, err := ParseRequest(got)
				if err != nil {
					t.Fatal(err)
				}
				if q.Rest = rest; q.Size() != len(frame) {
					t.Errorf("its size is %d, not %d", q.Size(), len(frame))
				}
				if err := read(&q); err != nil {
					t.Fatal(err)
				}
				if q.Rest == nil && !bytes.Equal(q.Frame, frame) {
					t.Error("the frame has other bytes")
				}
				if next, _, err := ReadFrame(r, testLimits, true, nil); err != nil || binary.BigEndian.Uint16(next) != KeyFetch {
					t.Errorf("the next frame is %x, %v", next, err)
				}
			}
		})
	}
}

// TestBeforeDiscard: before the rest is read over it is said that the client may be waited
// for, as before it is read; and if that goes wrong nothing is. While others wait for the
// request it is said for each piece.
func TestBeforeDiscard(t *testing.T) {
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		there, left int
		beyond      bool // others wait
		before      error
		calls       int
	}{
		"all is there":  {100, 100, false, nil, 0},
		"more to come":  {100, 101, false, nil, 1},
		"much to come":  {100, 3 * growFrom, false, nil, 1},
		"others wait":   {100, 3 * growFrom, true, nil, 3},
		"nothing to do": {100, 0, true, nil, 0},
		"it fails":      {100, 101, false, gone, 1},
		"they wait":     {100, 3 * growFrom, true, gone, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := bufio.NewReaderSize(bytes.NewReader(make([]byte, 200+c.left)), c.there)
			if _, err := in.Peek(1); err != nil {
				t.Fatal(err)
			}
			calls := 0
			r := Rest{r: in, left: c.left, Before: func() error { calls++; return c.before }, claim: &Claim{over: c.beyond}}
			if err := r.Discard(); !errors.Is(err, c.before) || !errors.Is(r.Err(), c.before) || calls != c.calls {
				t.Errorf("the error is %v, after %d calls", err, calls)
			}
			if (r.Len() == 0) != (c.before == nil) {
				t.Errorf("%d bytes are left", r.Len())
			}
		})
	}
}

// TestBeginningIsGivenBack: of a large frame that is read as a whole after all, the buffer
// with its beginning can be used again.
func TestBeginningIsGivenBack(t *testing.T) {
	in := frameOf(partsFrom, make([]byte, partsFrom)) // of a version that is not answered
	for tryGetBuffer(partsHead) != nil {
	}
	for range 20 { // the race detector has a pool lose some
		frame, rest, err := ReadFrame(bufio.NewReader(bytes.NewReader(in)), testLimits, true, nil)
		if err != nil || rest != nil || !bytes.Equal(frame, in[4:]) {
			t.Fatalf("%d bytes with the rest %v, %v", len(frame), rest, err)
		}
		if tryGetBuffer(partsHead) != nil {
			return
		}
	}
	t.Error("it cannot")
}

// TestLongFields: what is kept to decode long fields is read in few steps, each of which
// decodes them from their beginning.
func TestLongFields(t *testing.T) {
	k := kmsg.NewPtrProduceRequest()
	k.SetVersion(9)
	for i := range uint32(60) {
		k.UnknownTags.Set(100+i, make([]byte, 1000))
	}
	body, steps := k.AppendTo(nil), 0
	p := NewProduceReader(&Request{Version: 9, Rest: &Rest{
		r: bufio.NewReaderSize(bytes.NewReader(body), 16), left: len(body),
		Before: func() error { steps++; return nil },
	}})
	if _, err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := p.Topic(); ok || err != nil {
		t.Fatal(ok, err)
	}
	if steps > 20 {
		t.Errorf("%d bytes took %d steps", len(body), steps)
	}
}

// FuzzProduceReader: cut anywhere, what comes in parts is read or refused as if it were
// whole, and costs no more memory than was sent for it.
func FuzzProduceReader(f *testing.F) {
	rng := rand.New(rand.NewPCG(17, 18))
	for v := int16(3); v <= 13; v++ {
		f.Add(v, randomRequest(rng, KeyProduce, v).AppendTo(nil), uint16(9))
	}
	f.Fuzz(func(t *testing.T, v int16, body []byte, have uint16) {
		if v < 3 || v > 13 || len(body) > maxHead {
			return
		}
		want, refused := ParseProduce(v, body)
		var got *ProduceRequest
		var err error
		n := min(int(have), len(body))
		alloc.Within(t, len(body), func() { got, err = parts(v, body, n, bytes.NewReader(body[n:])) })
		if (err != nil) != (refused != nil) {
			t.Fatalf("in parts it is %v, whole it is %v", err, refused)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err == nil && diff != "" {
			t.Fatal(diff)
		}
	})
}
