package registry

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// typeAvro is the only schema type served.
const typeAvro = "AVRO"

// entry is one version of a subject. Entries are never changed, only replaced.
type entry struct {
	subject    string
	version    int
	id         int
	schemaType string
	schema     string
	references []Reference
	metadata   *Metadata
	ruleSet    *RuleSet
	deleted    bool
	hash       [md5.Size]byte
	timestamp  int64
}

// guid is the hash written as a UUID: it names a schema in every registry.
func (e *entry) guid() string {
	h := hex.EncodeToString(e.hash[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Reference says that a schema uses the type Name, defined by a version of
// another subject.
type Reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// Metadata is what a data contract adds to a schema.
type Metadata struct {
	Tags       map[string][]string `json:"tags,omitempty"`
	Properties map[string]string   `json:"properties,omitempty"`
	Sensitive  []string            `json:"sensitive,omitempty"`
}

// RuleSet is the rules of a data contract. The registry keeps them; clients run
// them.
type RuleSet struct {
	MigrationRules []Rule `json:"migrationRules,omitempty"`
	DomainRules    []Rule `json:"domainRules,omitempty"`
	EncodingRules  []Rule `json:"encodingRules,omitempty"`
	EnableAt       string `json:"enableAt,omitempty"`
}

// Rule is one rule of a RuleSet.
type Rule struct {
	Name      string            `json:"name,omitempty"`
	Doc       string            `json:"doc,omitempty"`
	Kind      string            `json:"kind,omitempty"`
	Mode      string            `json:"mode,omitempty"`
	Type      string            `json:"type,omitempty"`
	Tags      []string          `json:"tags,omitempty"`
	Params    map[string]string `json:"params,omitempty"`
	Expr      string            `json:"expr,omitempty"`
	OnSuccess string            `json:"onSuccess,omitempty"`
	OnFailure string            `json:"onFailure,omitempty"`
	Disabled  bool              `json:"disabled"`
}

// contractVersion is the metadata property that a registry keeps equal to the
// version's number.
const contractVersion = "confluent:version"

// hashSchema is the identity of a schema: text, references, metadata and rules.
func hashSchema(schema string, refs []Reference, m *Metadata, r *RuleSet) [md5.Size]byte {
	h := md5.New()
	h.Write([]byte(schema))
	for _, ref := range refs {
		h.Write([]byte(ref.Name))
		h.Write([]byte(ref.Subject))
		_ = binary.Write(h, binary.BigEndian, int32(ref.Version))
	}
	if m != nil {
		h.Write([]byte{1})
		m.hash(h)
	}
	if r != nil {
		h.Write([]byte{1})
		for _, rules := range r.phases() {
			for i := range rules {
				rules[i].hash(h)
			}
		}
		h.Write([]byte(r.EnableAt))
	}
	return [md5.Size]byte(h.Sum(nil))
}

func (m *Metadata) hash(h hash.Hash) {
	for _, k := range slices.Sorted(maps.Keys(m.Tags)) {
		h.Write([]byte(k))
		for _, v := range m.Tags[k] {
			h.Write([]byte(v))
		}
	}
	hashMap(h, m.Properties)
	for _, s := range m.Sensitive {
		h.Write([]byte(s))
	}
}

func hashMap(h hash.Hash, m map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		h.Write([]byte(k))
		h.Write([]byte(m[k]))
	}
}

func (r *Rule) hash(h hash.Hash) {
	for _, s := range []string{r.Name, r.Doc, r.Kind, r.Mode, r.Type} {
		h.Write([]byte(s))
	}
	for _, s := range r.Tags {
		h.Write([]byte(s))
	}
	hashMap(h, r.Params)
	for _, s := range []string{r.Expr, r.OnSuccess, r.OnFailure} {
		h.Write([]byte(s))
	}
	if r.Disabled {
		h.Write([]byte{1})
	}
}

// normal sorts what is a set, so that equal metadata has equal bytes.
func (m *Metadata) normal() *Metadata {
	if m == nil {
		return nil
	}
	n := &Metadata{Properties: m.Properties, Sensitive: sortedSet(m.Sensitive)}
	if len(m.Tags) > 0 {
		n.Tags = make(map[string][]string, len(m.Tags))
		for k, v := range m.Tags {
			n.Tags[k] = sortedSet(v)
		}
	}
	return n
}

func sortedSet(s []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(s)))
}

// with returns m with the settings of other on top; either may be nil.
func (m *Metadata) with(other *Metadata) *Metadata {
	switch {
	case m == nil:
		return other
	case other == nil:
		return m
	}
	merged := &Metadata{Tags: maps.Clone(m.Tags), Properties: maps.Clone(m.Properties), Sensitive: sortedSet(append(slices.Clone(m.Sensitive), other.Sensitive...))}
	if merged.Tags == nil {
		merged.Tags = map[string][]string{}
	}
	maps.Copy(merged.Tags, other.Tags)
	if merged.Properties == nil {
		merged.Properties = map[string]string{}
	}
	maps.Copy(merged.Properties, other.Properties)
	return merged
}

// property returns a property, "" where there is none.
func (m *Metadata) property(name string) (string, bool) {
	if m == nil {
		return "", false
	}
	v, ok := m.Properties[name]
	return v, ok
}

// withVersion returns m with the contract's version set, without it for 0.
func (m *Metadata) withVersion(version int) *Metadata {
	n := &Metadata{}
	if m != nil {
		*n = *m
	}
	n.Properties = maps.Clone(n.Properties)
	if version == 0 {
		delete(n.Properties, contractVersion)
		return n
	}
	if n.Properties == nil {
		n.Properties = map[string]string{}
	}
	n.Properties[contractVersion] = strconv.Itoa(version)
	return n
}

func (m *Metadata) equal(other *Metadata) bool {
	if m == nil || other == nil {
		return m == other
	}
	return maps.EqualFunc(m.Tags, other.Tags, slices.Equal[[]string]) && maps.Equal(m.Properties, other.Properties) && slices.Equal(m.Sensitive, other.Sensitive)
}

func (r *RuleSet) phases() [][]Rule {
	return [][]Rule{r.MigrationRules, r.DomainRules, r.EncodingRules}
}

// normal fills in what an absent kind and mode mean and sorts tags.
func (r *RuleSet) normal() *RuleSet {
	if r == nil {
		return nil
	}
	n := &RuleSet{EnableAt: r.EnableAt}
	for i, out := range []*[]Rule{&n.MigrationRules, &n.DomainRules, &n.EncodingRules} {
		for _, rule := range r.phases()[i] {
			if rule.Kind == "" {
				rule.Kind = "TRANSFORM"
			}
			if rule.Mode == "" {
				rule.Mode = "WRITEREAD"
			}
			rule.Tags = sortedSet(rule.Tags)
			*out = append(*out, rule)
		}
	}
	return n
}

// with returns r with the rules of other on top: a rule of the same name is
// replaced. Either may be nil.
func (r *RuleSet) with(other *RuleSet) *RuleSet {
	switch {
	case r == nil:
		return other
	case other == nil:
		return r
	}
	merge := func(old, new []Rule) []Rule {
		out := slices.DeleteFunc(slices.Clone(old), func(o Rule) bool {
			return slices.ContainsFunc(new, func(n Rule) bool { return n.Name == o.Name })
		})
		return append(out, new...)
	}
	merged := &RuleSet{
		MigrationRules: merge(r.MigrationRules, other.MigrationRules),
		DomainRules:    merge(r.DomainRules, other.DomainRules),
		EncodingRules:  merge(r.EncodingRules, other.EncodingRules),
		EnableAt:       r.EnableAt,
	}
	if other.EnableAt != "" {
		merged.EnableAt = other.EnableAt
	}
	return merged
}

func (r *RuleSet) equal(other *RuleSet) bool {
	if r == nil || other == nil {
		return r == other
	}
	return hashSchema("", nil, nil, r) == hashSchema("", nil, nil, other)
}

// validate checks the shape of a normal rule set.
func (r *RuleSet) validate() error {
	if r == nil {
		return nil
	}
	seen := map[string]bool{}
	for i, rules := range r.phases() {
		for _, rule := range rules {
			if seen[rule.Name] {
				return fmt.Errorf("duplicate rule name %s", rule.Name)
			}
			seen[rule.Name] = true
			if err := rule.validate(i == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Rule) validate(migration bool) error {
	switch {
	case r.Name == "":
		return errors.New("missing rule name")
	case len(r.Name) > 256:
		return errors.New("rule name longer than 256 characters")
	case r.Type == "":
		return fmt.Errorf("rule %s: missing rule type", r.Name)
	case r.Kind != "TRANSFORM" && r.Kind != "CONDITION":
		return fmt.Errorf("rule %s: kind %q is neither TRANSFORM nor CONDITION", r.Name, r.Kind)
	}
	for i, c := range r.Name {
		if !unicode.IsLetter(c) && c != '_' && (i == 0 || !unicode.IsDigit(c) && c != '-') {
			return fmt.Errorf("illegal character %q in rule name %s", c, r.Name)
		}
	}
	modes := []string{"WRITE", "READ", "WRITEREAD"}
	if migration {
		modes = []string{"UPGRADE", "DOWNGRADE", "UPDOWN"}
	}
	if !slices.Contains(modes, r.Mode) {
		return fmt.Errorf("rule %s: mode %q is none of %s", r.Name, r.Mode, strings.Join(modes, ", "))
	}
	if r.Mode != "WRITEREAD" && r.Mode != "UPDOWN" && (strings.Contains(r.OnSuccess, ",") || strings.Contains(r.OnFailure, ",")) {
		return fmt.Errorf("rule %s: several actions need mode WRITEREAD or UPDOWN", r.Name)
	}
	return nil
}
