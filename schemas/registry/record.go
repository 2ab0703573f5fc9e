package registry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// keyType is what a record of the topic is about. The set is closed: a
// Confluent registry that reads a type it does not know stops reading.
type keyType string

const (
	keySchema        keyType = "SCHEMA"
	keyConfig        keyType = "CONFIG"
	keyMode          keyType = "MODE"
	keyDeleteSubject keyType = "DELETE_SUBJECT"
	keyClearSubject  keyType = "CLEAR_SUBJECT"
	keyContext       keyType = "CONTEXT"
	keyNoop          keyType = "NOOP"
	keyAssociation   keyType = "ASSOC"
)

// key is the key of a record. Global configuration and mode have the subject "".
type key struct {
	typ     keyType
	subject string
	version int
	tenant  string
	context string
}

func schemaKey(subject string, version int) key {
	return key{typ: keySchema, subject: subject, version: version}
}

func settingsKey(subject string) key { return key{typ: keyConfig, subject: subject} }
func modeKey(subject string) key     { return key{typ: keyMode, subject: subject} }

func contextKey(context string) key {
	return key{typ: keyContext, tenant: "default", context: context}
}

// errForeign marks a record that is not for us: it is skipped.
var errForeign = errors.New("not a record of a schema registry")

// parseKey reads a key in any form that registries have written: other orders
// of fields, magic 0, an explicit null subject.
func parseKey(b []byte) (key, error) {
	var raw struct {
		KeyType *keyType `json:"keytype"`
		Subject *string  `json:"subject"`
		Version int      `json:"version"`
		Tenant  string   `json:"tenant"`
		Context string   `json:"context"`
	}
	if err := json.Unmarshal(b, &raw); err != nil || raw.KeyType == nil {
		return key{}, errForeign
	}
	k := key{typ: *raw.KeyType, version: raw.Version, tenant: raw.Tenant, context: raw.Context}
	if raw.Subject != nil {
		k.subject = *raw.Subject
	}
	switch k.typ {
	case keySchema:
		if raw.Subject == nil || k.version < 1 {
			return key{}, errForeign
		}
	case keyConfig, keyMode, keyDeleteSubject, keyClearSubject, keyContext, keyNoop, keyAssociation:
	default:
		return key{}, errForeign
	}
	return k, nil
}

// bytes returns the one form that is written, byte for byte Confluent's:
// compaction compares bytes, and a record under another spelling of a key would
// survive its tombstone and come back on the next start.
func (k key) bytes() []byte {
	b := append([]byte(`{"keytype":"`), k.typ...)
	b = append(b, '"')
	magic := byte('0')
	switch k.typ {
	case keySchema:
		magic = '1'
		b = append(b, `,"subject":`...)
		b = appendJackson(b, k.subject)
		b = append(b, `,"version":`...)
		b = strconv.AppendInt(b, int64(k.version), 10)
	case keyContext:
		b = append(b, `,"tenant":`...)
		b = appendJackson(b, k.tenant)
		b = append(b, `,"context":`...)
		b = appendJackson(b, k.context)
	default:
		if k.subject != "" {
			b = append(b, `,"subject":`...)
			b = appendJackson(b, k.subject)
		}
	}
	b = append(b, `,"magic":`...)
	return append(b, magic, '}')
}

const upperHex = "0123456789ABCDEF"

// appendJackson quotes s as Jackson does; encoding/json escapes more.
func appendJackson(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c == '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
		}
	}
	return append(b, '"')
}

// record is a record to write: a nil value is a tombstone.
type record struct {
	key   key
	value []byte
}

// marshal writes JSON without escaping what HTML minds, as registries do.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		// Only this package's own types come here; none can fail.
		panic(fmt.Sprintf("registry: marshal %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// schemaValue is the value of a SCHEMA record.
type schemaValue struct {
	Subject    string      `json:"subject,omitempty"`
	Version    int         `json:"version,omitempty"`
	ID         int         `json:"id,omitempty"`
	MD5        string      `json:"md5,omitempty"`
	SchemaType string      `json:"schemaType,omitempty"`
	References []Reference `json:"references,omitempty"`
	Metadata   *Metadata   `json:"metadata,omitempty"`
	RuleSet    *RuleSet    `json:"ruleSet,omitempty"`
	Schema     string      `json:"schema,omitempty"`
	Deleted    bool        `json:"deleted"`
}

func schemaRecord(e *entry) record {
	return record{key: schemaKey(e.subject, e.version), value: marshal(schemaValue{
		Subject: e.subject, Version: e.version, ID: e.id, MD5: base64.StdEncoding.EncodeToString(e.hash[:]),
		SchemaType: e.schemaType, References: e.references, Metadata: e.metadata, RuleSet: e.ruleSet,
		Schema: e.schema, Deleted: e.deleted,
	})}
}

// parseSchemaValue reads the value of a SCHEMA record, taking subject and
// version from the key.
func parseSchemaValue(k key, b []byte) (*entry, error) {
	var v schemaValue
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	e := &entry{
		subject: normalSubject(k.subject), version: k.version, id: v.ID, schemaType: v.SchemaType, schema: v.Schema,
		references: v.References, metadata: v.Metadata.normal(), ruleSet: v.RuleSet.normal(), deleted: v.Deleted,
	}
	if e.schemaType == "" {
		e.schemaType = typeAvro
	}
	if sum, err := base64.StdEncoding.DecodeString(v.MD5); err == nil && len(sum) == len(e.hash) {
		copy(e.hash[:], sum)
	} else {
		e.hash = hashSchema(e.schema, e.references, e.metadata, e.ruleSet)
	}
	return e, nil
}

func settingsRecord(subject string, s Settings) record {
	v := struct {
		Subject string `json:"subject,omitempty"`
		Settings
	}{subject, s}
	return record{key: settingsKey(subject), value: marshal(v)}
}

func modeRecord(subject, mode string) record {
	v := struct {
		Subject string `json:"subject,omitempty"`
		Mode    string `json:"mode"`
	}{subject, mode}
	return record{key: modeKey(subject), value: marshal(v)}
}

type subjectVersion struct {
	Subject string `json:"subject,omitempty"`
	Version int    `json:"version,omitempty"`
}

// deleteSubjectRecord soft-deletes the subject's versions up to this one.
func deleteSubjectRecord(subject string, version int) record {
	return record{key: key{typ: keyDeleteSubject, subject: subject}, value: marshal(subjectVersion{subject, version})}
}

// clearSubjectRecord says that soft-deleted versions are gone for good.
func clearSubjectRecord(subject string) record {
	return record{key: key{typ: keyClearSubject, subject: subject}, value: marshal(subjectVersion{Subject: subject})}
}

func contextRecord(context string) record {
	k := contextKey(context)
	return record{key: k, value: marshal(struct {
		Tenant  string `json:"tenant"`
		Context string `json:"context"`
	}{k.tenant, k.context})}
}

// highWater is the value we put under the NOOP key, which other registries skip
// by its key: the highest id ever given out in each context. Without it, an id
// whose only schema was deleted for good would be given out again, and old data
// decoded with the wrong schema.
type highWater struct {
	MaxIDs map[string]int `json:"maxIds"`
}

func noopRecord(maxIDs map[string]int) record {
	if len(maxIDs) == 0 {
		return record{key: key{typ: keyNoop}}
	}
	return record{key: key{typ: keyNoop}, value: marshal(highWater{maxIDs})}
}
