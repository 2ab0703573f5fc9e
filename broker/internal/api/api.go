// Package api answers requests: one file per request family. A handler reads the
// cluster image, the partitions and the coordinators, and makes the answer; it
// knows nothing of sockets. What it must wait for outside its turn, it leaves in
// the Reply (see there).
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/coordinator"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/quota"
	"github.com/quokka-stream/quokka/broker/internal/topics"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// Config is what handlers need to know of the broker's settings.
type Config struct {
	NodeID            int32
	DataDir           string
	Rack              string
	AutoCreateTopics  bool
	DefaultPartitions int32
	OffsetsPartitions int32
	FetchMaxBytes     int32
	MaxPartitions     int32 // over all topics
	MaxTopicParts     int32 // of one topic
	Logger            *slog.Logger
	Hits              *limit.Hits
	// DecodeBudget bounds the memory of requests being decoded.
	DecodeBudget int64
	// Mechanisms returns the SASL mechanisms that a listener offers; none means that
	// nobody logs in there.
	Mechanisms func(listener string) []string
	// Authorization says whether access rules are in force.
	Authorization bool
	// Trace, if it is set, is told of each batch produced.
	Trace func(ProduceTrace)
	// RecordCheck, if it is set, refuses records; see there.
	RecordCheck RecordCheck
	// Synced says that what counts as durable was synced, not only written.
	Synced bool
	// GroupLimits are what the settings of groups have to keep to.
	GroupLimits cluster.GroupLimits
	// Advertise returns the address that a client of this session is to use.
	Advertise func(*Session) (host string, port int32)
	// ClampReplicas creates topics of several replicas with one, instead of refusing.
	ClampReplicas bool
	// CheckConfigs refuses broker settings that cannot take effect, as img would have
	// them; nil: none.
	CheckConfigs func(img *cluster.Image) error
}

// Handler answers requests.
type Handler struct {
	cfg        Config
	cluster    *cluster.Cluster
	topics     *topics.Manager
	groups     *coordinator.Groups
	authorizer auth.Authorizer
	sessions   *fetchSessions
	txns       *coordinator.Txns
	producers  *cluster.ProducerIDs
	budget     *wire.Budget
	checks     *wire.Budget // of the records that Config.RecordCheck looks at
	meter      quota.Meter
	log        *slog.Logger
	parked     struct{ fetches, produces atomic.Int64 } // that wait now
}

// New returns a handler over the broker's parts.
func New(cfg Config, c *cluster.Cluster, t *topics.Manager, g *coordinator.Groups, x *coordinator.Txns, p *cluster.ProducerIDs, a auth.Authorizer) *Handler {
	return &Handler{
		cfg: cfg, cluster: c, topics: t, groups: g, txns: x, producers: p, authorizer: a, log: cfg.Logger,
		sessions: newFetchSessions(int(c.Image().BrokerInt("max.incremental.fetch.session.cache.slots")), int(cfg.MaxPartitions), cfg.Hits, time.Now),
		budget:   wire.NewBudget(cfg.DecodeBudget, func() { cfg.Hits.Hit(limit.DecodeMemory) }),
		checks:   wire.NewBudget(cfg.DecodeBudget, func() { cfg.Hits.Hit(limit.CheckMemory) }),
	}
}

// Session is one connection as handlers see it.
type Session struct {
	ID         uint64
	Listener   string   // the name of the listener by which the client came
	Local      net.Addr // the address the client connected to
	Remote     net.Addr
	Principal  string // empty until the client has proven who it is
	ClientName string // software name and version, once ApiVersions told
	ClientVer  string
	// Waits says, of the reply to a Produce, that it waits for the disk, so that the
	// next request is to be read meanwhile.
	Waits bool
	// Sendfile says that parts of files can be sent by the kernel; see wire.FilePart.
	Sendfile bool

	login     auth.Login // the authentication in progress
	mechanism string
	rawSASL   bool
	ending    bool
	mute      time.Duration // see Mute
}

func (s *Session) host() string {
	host, _, err := net.SplitHostPort(s.Remote.String())
	if err != nil {
		return s.Remote.String()
	}
	return host
}

// Reply is the rest of an answer: it appends the response to v, waiting for what
// it still needs, until ctx ends. The connection runs the replies of its requests
// in their order, while later requests may already be in work. An error closes
// the connection.
type Reply func(ctx context.Context, v *wire.Vec) error

// ErrNoReply is the error of a handler whose request gets no response.
var ErrNoReply = errors.New("no reply")

// call is one request on its way through a handler.
type call struct {
	*Session
	req *wire.Request
	img *cluster.Image // as it was when the request began
	// meter is what the call uses of its client's quotas; nil where none is set.
	meter *meter
	// decoded gives back the memory that was charged for decoding the request; it may
	// be called before the handler returns.
	decoded func()
}

// handler makes the response to a request that kmsg decoded.
type handler func(h *Handler, ctx context.Context, c *call, req kmsg.Request) (kmsg.Response, error)

// entry is a key that is answered, with the versions that are.
type entry struct {
	min, max int16
	// advertise is the least version ApiVersions tells, where that is not min.
	advertise int16
	handle    handler // nil for Produce, Fetch and ApiVersions
}

// table is every key answered. Minimums are those of Apache Kafka 4.1, maximums
// what kmsg speaks.
var table map[int16]entry

func init() {
	max := func(key int16) int16 { return kmsg.RequestForKey(key).MaxVersion() }
	table = map[int16]entry{
		// Advertised from 0 although 3 is the least that is answered, as in Kafka:
		// librdkafka turns compression off otherwise.
		0:  {min: 3, advertise: 0, max: max(0)},
		1:  {min: 4, advertise: 4, max: max(1)},
		18: {max: max(18)},
	}
	for key, e := range kmsgHandlers {
		e.advertise, e.max = e.min, max(key)
		table[key] = e
	}
}

// Advertised calls f for each key that is answered, with the versions advertised.
func Advertised(f func(key, min, max int16)) {
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		if e, ok := table[key]; ok {
			f(key, e.advertise, e.max)
		}
	}
}

// Serves says whether a version of a key is answered.
func Serves(key, version int16) bool {
	e, ok := table[key]
	return ok && version >= e.min && version <= e.max
}

// Handle does a request up to where the next one of its connection may start, and
// returns the reply that finishes it. An error other than ErrNoReply means that
// the connection cannot go on.
func (h *Handler) Handle(ctx context.Context, s *Session, req *wire.Request) (Reply, error) {
	c := &call{Session: s, req: req, img: h.cluster.Image()}
	if !s.Authenticated() && !mayAsk(req.Key) {
		return nil, fmt.Errorf("request key %d before authentication", req.Key)
	}
	if len(c.img.ClientQuotas) > 0 && s.Authenticated() {
		return h.metered(ctx, c)
	}
	return h.handle(ctx, c)
}

func (h *Handler) handle(ctx context.Context, c *call) (Reply, error) {
	req := c.req
	if req.Key == wire.KeyAPIVersions {
		return h.apiVersions(c)
	}
	if !Serves(req.Key, req.Version) {
		return nil, fmt.Errorf("request key %d version %d is not supported", req.Key, req.Version)
	}
	switch req.Key {
	case wire.KeyProduce:
		return h.produce(ctx, c)
	case wire.KeyFetch:
		return h.fetch(ctx, c)
	}
	c.pause()
	release, err := h.budget.Acquire(ctx, req)
	c.resume()
	if err != nil {
		return nil, err
	}
	c.decoded = sync.OnceFunc(release)
	defer c.decoded()
	kreq := kmsg.RequestForKey(req.Key)
	kreq.SetVersion(req.Version)
	if err := kreq.ReadFrom(req.Body); err != nil {
		return nil, fmt.Errorf("request key %d version %d: %w", req.Key, req.Version, err)
	}
	if works[req.Key] {
		resp, err := table[req.Key].handle(h, ctx, c, kreq)
		return c.respond(req, resp), err
	}
	c.pause()
	resp, err := table[req.Key].handle(h, ctx, c, kreq)
	c.resume()
	return c.respond(req, resp), err
}

// respond is the Reply of a response that is there.
func (c *call) respond(req *wire.Request, resp kmsg.Response) Reply {
	return func(_ context.Context, v *wire.Vec) error {
		if ms := c.throttleMillis(); ms > 0 {
			if t, ok := resp.(kmsg.SetThrottleResponse); ok {
				t.SetThrottle(ms)
			}
		}
		v.Append(func(dst []byte) []byte {
			return resp.AppendTo(wire.AppendResponseHeader(dst, req))
		})
		return nil
	}
}

// FetchSessions is how many incremental fetch sessions there are now.
func (h *Handler) FetchSessions() int { return h.sessions.Len() }

// Parked is how many fetches wait for records, and produces for the disk, now.
func (h *Handler) Parked() (fetches, produces int64) {
	return h.parked.fetches.Load(), h.parked.produces.Load()
}

// DecodeMemory is how much memory requests that are being decoded take now.
func (h *Handler) DecodeMemory() int64 { return h.budget.Used() }

// QuotaStats returns how often, and for how long together, clients were held back by
// a kind of quota.
func (h *Handler) QuotaStats(k quota.Kind) (count int64, total time.Duration) {
	return h.meter.Stats(k)
}

// limits are the limits that an error code of an answer tells of.
var limits = map[int16]limit.Limit{
	errcode.GroupMaxSizeReached: limit.GroupSize, errcode.OffsetMetadataTooLarge: limit.OffsetMetadata,
	errcode.InvalidTransactionTimeout: limit.TxnTimeout, errcode.MessageTooLarge: limit.GroupMetadata,
}

// hit counts the limit, if any, that an error code tells of, and returns the code.
func (h *Handler) hit(code int16) int16 {
	if l, ok := limits[code]; code != errcode.None && ok {
		h.cfg.Hits.Hit(l)
	}
	return code
}

// checkTopicName refuses what is no topic name.
func (h *Handler) checkTopicName(name string) error {
	if len(name) > cluster.MaxTopicName {
		h.cfg.Hits.Hit(limit.TopicName)
	}
	return cluster.CheckTopicName(name)
}

// allowed asks the authorizer.
func (h *Handler) allowed(c *call, op auth.Operation, typ auth.ResourceType, name string) bool {
	return h.authorizer.Allowed(c.Principal, c.host(), op, typ, name)
}

// code is the error code in an error of one of the broker's parts.
func (h *Handler) code(err error) (int16, *string) {
	if err == nil {
		return errcode.None, nil
	}
	var refused *cluster.Error
	if errors.As(err, &refused) {
		return refused.Code, &refused.Message
	}
	if code, ok := topics.Code(err); ok {
		msg := err.Error()
		return code, &msg
	}
	h.log.Error("request failed", "err", err)
	return errcode.UnknownServerError, nil
}
