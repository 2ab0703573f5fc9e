package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// Mechanism is a SCRAM mechanism, numbered as in Kafka's protocol.
type Mechanism int8

// The mechanisms.
const (
	ScramSHA256 Mechanism = 1
	ScramSHA512 Mechanism = 2
)

// Plain is the name of the mechanism that sends the password itself.
const Plain = "PLAIN"

func (m Mechanism) String() string {
	switch m {
	case ScramSHA256:
		return "SCRAM-SHA-256"
	case ScramSHA512:
		return "SCRAM-SHA-512"
	}
	return "UNKNOWN"
}

func (m Mechanism) hash() func() hash.Hash {
	if m == ScramSHA512 {
		return sha512.New
	}
	return sha256.New
}

func (m Mechanism) size() int { return m.hash()().Size() }

// Bounds of SCRAM's iterations: fewer protect badly, more cost whoever logs in.
const (
	MinIterations     = 4096
	MaxIterations     = 16384
	defaultIterations = 8192
)

// ErrFailed is the error of an authentication that did not succeed. It does not
// say why: who is no user and who has the wrong password hear the same.
var ErrFailed = errors.New("authentication failed: invalid credentials")

// NewCredential derives what is kept of a password.
func NewCredential(m Mechanism, password string) (cluster.Credential, error) {
	salt := make([]byte, 32)
	_, _ = rand.Read(salt) // never fails
	salted, err := deriveSalted(m, password, salt, defaultIterations)
	if err != nil {
		return cluster.Credential{}, err
	}
	return Derive(m, salted, salt, defaultIterations), nil
}

// deriveSalted is RFC 5802's Hi: the password with its salt, made slow to guess.
func deriveSalted(m Mechanism, password string, salt []byte, iterations int) ([]byte, error) {
	return pbkdf2.Key(m.hash(), password, salt, iterations, m.size())
}

// Derive makes a credential of a password that its owner has salted already.
func Derive(m Mechanism, salted, salt []byte, iterations int) cluster.Credential {
	sum := func(key []byte, text string) []byte {
		h := hmac.New(m.hash(), key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	h := m.hash()()
	h.Write(sum(salted, "Client Key"))
	return cluster.Credential{Salt: salt, Iterations: iterations, StoredKey: h.Sum(nil), ServerKey: sum(salted, "Server Key")}
}

// Login is one authentication in progress.
type Login interface {
	// Step takes the client's message and returns the answer. done is true when
	// the user has proven who they are.
	Step(message []byte) (answer []byte, user string, done bool, err error)
}

// NewLogin begins an authentication by a mechanism; ok is false for one that is
// not offered.
func NewLogin(mechanism string, image func() *cluster.Image) (l Login, ok bool) {
	switch mechanism {
	case Plain:
		return &plainLogin{image: image}, true
	case ScramSHA256.String():
		return newScramLogin(ScramSHA256, image), true
	case ScramSHA512.String():
		return newScramLogin(ScramSHA512, image), true
	}
	return nil, false
}

// plainLogin is RFC 4616: authorization id, user, password, between zero bytes.
type plainLogin struct {
	image func() *cluster.Image
}

// decoy is what the password of someone who is no user is compared with, so that
// the time of the answer does not tell.
var decoy = Derive(ScramSHA256, make([]byte, 32), make([]byte, 32), defaultIterations)

func (p *plainLogin) Step(message []byte) (answer []byte, user string, done bool, err error) {
	parts := strings.Split(string(message), "\x00")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return nil, "", false, fmt.Errorf("%w: malformed PLAIN message", ErrFailed)
	}
	authzid, user, password := parts[0], parts[1], parts[2]
	if authzid != "" && authzid != user {
		return nil, "", false, fmt.Errorf("%w: the authorization id is not the user", ErrFailed)
	}
	stored, mechanism, known := decoy, ScramSHA256, false
	for _, m := range []Mechanism{ScramSHA256, ScramSHA512} {
		if c, ok := p.image().Users[user][int8(m)]; ok {
			stored, mechanism, known = c, m, true
			break
		}
	}
	salted, err := deriveSalted(mechanism, password, stored.Salt, stored.Iterations)
	if err != nil {
		return nil, "", false, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if !hmac.Equal(Derive(mechanism, salted, stored.Salt, stored.Iterations).StoredKey, stored.StoredKey) || !known {
		return nil, "", false, ErrFailed
	}
	return []byte{}, user, true, nil
}

// scramLogin is RFC 5802.
type scramLogin struct {
	conversation *scram.ServerConversation
}

func newScramLogin(m Mechanism, image func() *cluster.Image) *scramLogin {
	lookup := func(user string) (scram.StoredCredentials, error) {
		c, ok := image().Users[user][int8(m)]
		if !ok {
			return scram.StoredCredentials{}, ErrFailed
		}
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(c.Salt), Iters: c.Iterations}, StoredKey: c.StoredKey, ServerKey: c.ServerKey,
		}, nil
	}
	server, err := scram.HashGeneratorFcn(m.hash()).NewServer(lookup)
	if err != nil {
		return &scramLogin{}
	}
	return &scramLogin{conversation: server.NewConversation()}
}

func (s *scramLogin) Step(message []byte) (answer []byte, user string, done bool, err error) {
	if s.conversation == nil {
		return nil, "", false, ErrFailed
	}
	text, err := s.conversation.Step(string(message))
	switch {
	case err != nil:
		return nil, "", false, ErrFailed
	case !s.conversation.Done():
		return []byte(text), "", false, nil
	case !s.conversation.Valid():
		return nil, "", false, ErrFailed
	}
	user = s.conversation.Username()
	if authzid := s.conversation.AuthzID(); authzid != "" && authzid != user {
		return nil, "", false, fmt.Errorf("%w: the authorization id is not the user", ErrFailed)
	}
	return []byte(text), user, true, nil
}
