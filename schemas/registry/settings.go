package registry

import (
	"encoding/json"
	"fmt"

	"github.com/quokka-stream/quokka/schemas/compat"
)

// Settings is the configuration of a subject, of a context, or of everything.
// A nil or empty field says nothing and leaves the wider scope in force.
type Settings struct {
	Alias               string    `json:"alias,omitempty"`
	AliasForDeks        string    `json:"aliasForDeks,omitempty"`
	Normalize           *bool     `json:"normalize,omitempty"`
	ValidateFields      *bool     `json:"validateFields,omitempty"`
	ValidateNewSchemas  *bool     `json:"validateNewSchemas,omitempty"`
	ValidateRules       *bool     `json:"validateRules,omitempty"`
	CompatibilityLevel  string    `json:"compatibilityLevel,omitempty"`
	CompatibilityPolicy string    `json:"compatibilityPolicy,omitempty"`
	CompatibilityGroup  string    `json:"compatibilityGroup,omitempty"`
	DefaultMetadata     *Metadata `json:"defaultMetadata,omitempty"`
	OverrideMetadata    *Metadata `json:"overrideMetadata,omitempty"`
	DefaultRuleSet      *RuleSet  `json:"defaultRuleSet,omitempty"`
	OverrideRuleSet     *RuleSet  `json:"overrideRuleSet,omitempty"`
}

// level is the compatibility level in force.
func (s Settings) level() compat.Level {
	l, err := compat.ParseLevel(s.CompatibilityLevel)
	if err != nil {
		return compat.Backward
	}
	return l
}

// fillsContracts reports whether registering adds metadata or rules.
func (s Settings) fillsContracts() bool {
	return s.DefaultMetadata != nil || s.OverrideMetadata != nil || s.DefaultRuleSet != nil || s.OverrideRuleSet != nil
}

// within returns the settings in force where s, a subject's own, is combined
// with the global ones.
func (s Settings) within(global Settings) Settings {
	if s.Normalize == nil {
		s.Normalize = global.Normalize
	}
	if s.ValidateFields == nil {
		s.ValidateFields = global.ValidateFields
	}
	if s.ValidateNewSchemas == nil {
		s.ValidateNewSchemas = global.ValidateNewSchemas
	}
	if s.ValidateRules == nil {
		s.ValidateRules = global.ValidateRules
	}
	if s.CompatibilityPolicy == "" {
		s.CompatibilityPolicy = global.CompatibilityPolicy
	}
	if s.CompatibilityGroup == "" {
		s.CompatibilityGroup = global.CompatibilityGroup
	}
	return s
}

// settingsUpdate is the body of PUT /config: only the fields present in it are
// changed, null clears one. What reads compatibilityLevel elsewhere is named
// compatibility here.
type settingsUpdate struct {
	fields map[string]json.RawMessage
}

var settingsFields = []string{"alias", "aliasForDeks", "normalize", "validateFields", "validateNewSchemas", "validateRules",
	"compatibility", "compatibilityPolicy", "compatibilityGroup", "defaultMetadata", "overrideMetadata", "defaultRuleSet", "overrideRuleSet"}

// apply returns old with the update made.
func (u settingsUpdate) apply(old Settings) (Settings, error) {
	targets := map[string]any{
		"alias": &old.Alias, "aliasForDeks": &old.AliasForDeks, "normalize": &old.Normalize, "validateFields": &old.ValidateFields,
		"validateNewSchemas": &old.ValidateNewSchemas, "validateRules": &old.ValidateRules, "compatibility": &old.CompatibilityLevel,
		"compatibilityPolicy": &old.CompatibilityPolicy, "compatibilityGroup": &old.CompatibilityGroup,
		"defaultMetadata": &old.DefaultMetadata, "overrideMetadata": &old.OverrideMetadata,
		"defaultRuleSet": &old.DefaultRuleSet, "overrideRuleSet": &old.OverrideRuleSet,
	}
	for name, raw := range u.fields {
		target, ok := targets[name]
		if !ok {
			return old, fmt.Errorf("unknown field %s", name)
		}
		if string(raw) == "null" {
			switch p := target.(type) {
			case *string:
				*p = ""
			case **bool:
				*p = nil
			case **Metadata:
				*p = nil
			case **RuleSet:
				*p = nil
			}
			continue
		}
		// A decoder merges into what is there; an update replaces.
		switch p := target.(type) {
		case **Metadata:
			*p = nil
		case **RuleSet:
			*p = nil
		}
		if err := json.Unmarshal(raw, target); err != nil {
			return old, fmt.Errorf("field %s: %w", name, err)
		}
	}
	old.DefaultMetadata, old.OverrideMetadata = old.DefaultMetadata.normal(), old.OverrideMetadata.normal()
	old.DefaultRuleSet, old.OverrideRuleSet = old.DefaultRuleSet.normal(), old.OverrideRuleSet.normal()
	return old, nil
}

// validate checks what a request sets and gives the level its usual spelling.
func (s *Settings) validate() *Error {
	if s.CompatibilityLevel != "" {
		l, err := compat.ParseLevel(s.CompatibilityLevel)
		if err != nil {
			return errInvalidLevel()
		}
		s.CompatibilityLevel = string(l)
	}
	switch s.CompatibilityPolicy {
	case "", "STRICT", "LENIENT":
	default:
		return errorf(422, codeInvalidLevel, "Invalid compatibility policy %q: this registry knows STRICT and LENIENT", s.CompatibilityPolicy)
	}
	for _, r := range []*RuleSet{s.DefaultRuleSet, s.OverrideRuleSet} {
		if err := r.validate(); err != nil {
			return errorf(422, codeInvalidRuleSet, "Invalid rule set: %v", err)
		}
	}
	return nil
}

// Modes of a subject, of a context, or of everything.
const (
	modeReadWrite = "READWRITE"
	modeReadOnly  = "READONLY"
	modeOverride  = "READONLY_OVERRIDE"
	modeImport    = "IMPORT"
	modeForward   = "FORWARD"
)

func readOnly(mode string) bool { return mode == modeReadOnly || mode == modeOverride }

// imports reports whether registering takes ids as given.
func imports(mode string) bool { return mode == modeImport || mode == modeForward }
