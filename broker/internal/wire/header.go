package wire

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Keys of the requests this package and the connection loop treat specially.
const (
	KeyProduce          = 0
	KeyFetch            = 1
	KeySaslHandshake    = 17
	KeyAPIVersions      = 18
	KeySaslAuthenticate = 36
)

// Request is one request as it came: its header decoded, its body not yet.
type Request struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      string // empty when the client sent null
	Body          []byte // aliases the frame
	Frame         []byte // to be returned by PutBuffer once nothing aliases it
	// Rest is what Frame and Body, which are the beginning then, lack of the request; nil:
	// they are whole. See Whole and ProduceReader.
	Rest *Rest
}

// Size is that of the whole frame.
func (q *Request) Size() int {
	if q.Rest != nil {
		return q.Rest.got + q.Rest.left
	}
	return len(q.Frame)
}

// Whole reads what Frame and Body lack.
func (q *Request) Whole() error {
	if q.Rest == nil {
		return nil
	}
	header := len(q.Frame) - len(q.Body)
	frame, err := q.Rest.fill(q.Frame, q.Size())
	if err != nil {
		return err
	}
	q.Rest.GiveBack(q.Frame)
	q.Frame, q.Body, q.Rest = frame, frame[header:], nil
	return nil
}

// firstFlexible maps a key to its first version with tagged fields, as kmsg knows it.
var firstFlexible = func() (first [kmsg.MaxKey + 1]int16) {
	for key := range first {
		first[key] = 1<<15 - 1
		req := kmsg.RequestForKey(int16(key))
		if req == nil {
			continue
		}
		for v := int16(0); v <= req.MaxVersion(); v++ {
			req.SetVersion(v)
			if req.IsFlexible() {
				first[key] = v
				break
			}
		}
	}
	return first
}()

// Flexible says whether a version of a key has compact lengths and tagged fields.
func Flexible(key, version int16) bool {
	return key >= 0 && int(key) < len(firstFlexible) && version >= firstFlexible[key]
}

// ParseRequest decodes the header of a frame. A header of a version that is not
// known parses as far as key, version and correlation id, which is enough to
// answer ApiVersions of any version; Body is then nil.
func ParseRequest(frame []byte) (Request, error) {
	r := NewReader(frame)
	req := Request{Key: r.Int16(), Version: r.Int16(), CorrelationID: r.Int32(), Frame: frame}
	if !r.Ok() {
		return req, r.Err()
	}
	if n := r.length(false, false); n != -1 {
		req.ClientID = string(r.Span(n))
	}
	if Flexible(req.Key, req.Version) {
		r.SkipTags(true)
	}
	if !r.Ok() {
		if req.Key == KeyAPIVersions {
			return req, nil
		}
		return req, r.Err()
	}
	req.Body = r.src
	return req, nil
}

// AppendResponseHeader begins a response: room for the frame's size, which
// Vec.Finish fills in, the correlation id, and the tag section that flexible
// responses have, all but ApiVersions, whose header never grew one.
func AppendResponseHeader(dst []byte, req *Request) []byte {
	dst = appendInt32(dst, 0)
	dst = appendInt32(dst, req.CorrelationID)
	if Flexible(req.Key, req.Version) && req.Key != KeyAPIVersions {
		dst = append(dst, 0)
	}
	return dst
}
