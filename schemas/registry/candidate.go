package registry

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/compat"
)

// schemaRequest is the body that registers, looks up or checks a schema.
type schemaRequest struct {
	Schema     string      `json:"schema"`
	SchemaType string      `json:"schemaType"`
	References []Reference `json:"references"`
	Metadata   *Metadata   `json:"metadata"`
	RuleSet    *RuleSet    `json:"ruleSet"`
	ID         *int        `json:"id"`
	Version    *int        `json:"version"`
	// Tags would change the schema's text; that is not served.
	TagsToAdd     []any `json:"schemaTagsToAdd"`
	TagsToRemove  []any `json:"schemaTagsToRemove"`
	PropagateTags bool  `json:"propagateSchemaTags"`
}

var schemaRequestFields = []string{"schema", "schemaType", "references", "metadata", "ruleSet", "id", "version",
	"schemaTagsToAdd", "schemaTagsToRemove", "propagateSchemaTags"}

// validate checks what does not depend on the registry's state, and puts the
// request in its normal form.
func (r *schemaRequest) validate() *Error {
	switch r.SchemaType {
	case "", typeAvro:
		r.SchemaType = typeAvro
	default:
		return errInvalidSchema("Invalid schema type %s: this registry stores %s only", r.SchemaType, typeAvro)
	}
	if len(r.TagsToAdd) > 0 || len(r.TagsToRemove) > 0 {
		return errInvalidSchema("Schema tags cannot be changed through this registry: send the schema with its tags")
	}
	r.Metadata, r.RuleSet = r.Metadata.normal(), r.RuleSet.normal()
	if err := r.RuleSet.validate(); err != nil {
		return errorf(422, codeInvalidRuleSet, "Invalid rule set: %v", err)
	}
	for _, ref := range r.References {
		if ref.Name == "" || ref.Subject == "" || ref.Version == 0 || ref.Version < latestVersion {
			return errInvalidSchema("Invalid schema, details: reference {name='%s', subject='%s', version=%d} needs a name, a subject and a version", ref.Name, ref.Subject, ref.Version)
		}
	}
	return nil
}

// candidate is a schema sent by a client, in the form in which it would be
// stored: the canonical text is half of a schema's identity.
type candidate struct {
	entry
	parsed *parsed
	shaped [sha256.Size]byte
}

// shape returns the hash that parser.shape returns for a version.
func (c *candidate) shape() [sha256.Size]byte {
	if c.shaped == ([sha256.Size]byte{}) {
		c.shaped = sha256.Sum256([]byte(c.parsed.schema.Inline()))
	}
	return c.shaped
}

// canonicalize parses a request's schema for a subject. References to the
// latest version become references to that version.
func (s *Server) canonicalize(st *state, subject string, req *schemaRequest, strict, normal bool) (*candidate, *Error) {
	if strings.TrimSpace(req.Schema) == "" {
		return nil, errInvalidSchema("Empty schema")
	}
	c := &candidate{entry: entry{subject: subject, schemaType: req.SchemaType, metadata: req.Metadata, ruleSet: req.RuleSet}}
	for _, ref := range req.References {
		if ref.Version == latestVersion {
			if e := st.latest(relativeTo(subject, ref.Subject)); e != nil {
				ref.Version = e.version
			}
		}
		c.references = append(c.references, ref)
	}
	var err error
	if c.parsed, err = s.parser.parse(st, subject, req.Schema, c.references, strict); err != nil {
		return nil, invalidSchema(err)
	}
	if normal {
		slices.SortStableFunc(c.references, func(a, b Reference) int {
			return strings.Compare(a.Subject+"\x00"+strconv.Itoa(a.Version), b.Subject+"\x00"+strconv.Itoa(b.Version))
		})
		c.references = slices.Compact(c.references)
		text := normalize(c.parsed.schema.Root(), c.parsed.names)
		if c.parsed, err = s.parser.parse(st, subject, text, c.references, strict); err != nil {
			return nil, invalidSchema(err)
		}
	}
	c.schema = c.parsed.schema.String()
	c.rehash()
	return c, nil
}

func invalidSchema(err error) *Error {
	if errors.Is(err, errReference) {
		return errInvalidSchema("Invalid schema of type %s, details: %v", typeAvro, err)
	}
	return errInvalidSchema("Invalid schema of type %s, details: %s", typeAvro, strings.TrimPrefix(err.Error(), "avro: "))
}

func (c *candidate) rehash() {
	c.hash = hashSchema(c.schema, c.references, c.metadata, c.ruleSet)
}

// inherit fills the contract from the configuration and from the previous
// version: default settings, then what the request says or else the previous
// version's, then overriding settings. version is the number to record in the
// metadata, 0 when looking up.
func (c *candidate) inherit(s Settings, previous *entry, version int, explicit bool) {
	if previous != nil {
		if c.metadata == nil {
			c.metadata = previous.metadata
		}
		if c.ruleSet == nil {
			c.ruleSet = previous.ruleSet
		}
	}
	c.metadata = s.DefaultMetadata.with(c.metadata).with(s.OverrideMetadata).normal()
	c.ruleSet = s.DefaultRuleSet.with(c.ruleSet).with(s.OverrideRuleSet).normal()
	if _, has := c.metadata.property(contractVersion); version > 0 && (has || explicit) {
		c.metadata = c.metadata.withVersion(version)
	}
	c.rehash()
}

// same reports whether the candidate means an existing version although the
// two may have different hashes: with the references written out, or without
// the version that the registry puts into the metadata.
func (s *Server) same(st *state, c *candidate, e *entry) bool {
	if e.schemaType != c.schemaType {
		return false
	}
	shape, err := s.parser.shape(st, e)
	if err != nil || shape != c.shape() || !c.ruleSet.equal(e.ruleSet) {
		return false
	}
	if len(c.references) > 0 && !slices.Equal(c.references, e.references) {
		return false
	}
	mine, hasMine := c.metadata.property(contractVersion)
	_, hasOld := e.metadata.property(contractVersion)
	switch {
	case hasMine == hasOld:
		return c.metadata.equal(e.metadata)
	case hasOld:
		return orEmpty(c.metadata).equal(e.metadata.withVersion(0).normal())
	default:
		return mine == strconv.Itoa(e.version) && orEmpty(e.metadata).equal(c.metadata.withVersion(0).normal())
	}
}

func orEmpty(m *Metadata) *Metadata {
	if m == nil {
		return &Metadata{}
	}
	return m
}

// incompatible compares a candidate with versions of its subject, oldest first,
// and returns Confluent's messages, nil for compatible.
func (s *Server) incompatible(st *state, settings Settings, c *candidate, previous []*entry) ([]string, *Error) {
	var messages []string
	checkFields := settings.ValidateFields != nil && *settings.ValidateFields
	if checkFields {
		messages = reservedFields(c, previous)
	}
	level := settings.level()
	if group := settings.CompatibilityGroup; group != "" {
		mine, has := c.metadata.property(group)
		previous = slices.DeleteFunc(slices.Clone(previous), func(e *entry) bool {
			theirs, have := e.metadata.property(group)
			return has != have || mine != theirs
		})
	}
	if level != compat.None {
		if !level.Transitive() && len(previous) > 1 {
			previous = previous[len(previous)-1:]
		}
		versions := make([]compat.Version, 0, len(previous))
		for _, e := range previous {
			if e.schemaType != c.schemaType {
				messages = append(messages, "Incompatible because of different schema type")
				versions = nil
				break
			}
			old, err := s.parser.parse(st, e.subject, e.schema, e.references, false)
			if err != nil {
				return nil, errorf(500, codeStore, "Version %d of subject %s cannot be parsed: %v", e.version, e.subject, err)
			}
			versions = append(versions, compat.Version{Number: e.version, Schema: old.schema})
		}
		messages = append(messages, compat.Check(level, c.parsed.schema, versions)...)
	}
	if len(messages) > 0 {
		messages = append(messages, fmt.Sprintf("{validateFields: '%t', compatibility: '%s'}", checkFields, level))
	}
	return messages, nil
}

// reservedFields checks the names that the metadata reserves: none may be taken
// back, and none may be a field of the schema.
func reservedFields(c *candidate, previous []*entry) []string {
	reserved := func(m *Metadata) map[string]bool {
		out := map[string]bool{}
		list, _ := m.property("confluent:reserved")
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.TrimSpace(name); name != "" {
				out[name] = true
			}
		}
		return out
	}
	var messages []string
	now := reserved(c.metadata)
	if len(previous) > 0 {
		for _, name := range slices.Sorted(maps.Keys(reserved(previous[len(previous)-1].metadata))) {
			if !now[name] {
				messages = append(messages, fmt.Sprintf("The new schema has reserved field %s removed from its metadata which is present in the old schema's metadata.", name))
			}
		}
	}
	root := c.parsed.schema.Root()
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if hasField(root, name) {
			messages = append(messages, fmt.Sprintf("The new schema has field that conflicts with the reserved field %s.", name))
		}
	}
	return messages
}

func hasField(n *codec.Node, name string) bool { return n.IsRecord() && n.Field(name) != nil }
