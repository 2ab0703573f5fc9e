package auth

import (
	"fmt"
	"regexp"
	"strings"
)

// PrincipalMapping makes a user's name of the subject of a certificate, by rules in
// the form of Kafka's ssl.principal.mapping.rules: RULE:pattern/replacement/ with L
// or U behind it for lower or upper case, or DEFAULT, separated by commas. The first
// rule whose pattern matches the whole subject counts.
type PrincipalMapping []mappingRule

type mappingRule struct {
	pattern     *regexp.Regexp // nil: DEFAULT
	replacement string
	fold        func(string) string
}

var (
	mappingForm = regexp.MustCompile(`^\s*(?:(DEFAULT)|RULE:((?:\\.|[^\\/])*)/((?:\\.|[^\\/])*)/([LU]?))\s*(,|$)`)
	backref     = regexp.MustCompile(`\$(\d)`)
)

// ParsePrincipalMapping reads rules; "" is DEFAULT.
func ParsePrincipalMapping(rules string) (PrincipalMapping, error) {
	var out PrincipalMapping
	if strings.TrimSpace(rules) == "" {
		return PrincipalMapping{{}}, nil
	}
	for rest := rules; rest != ""; {
		m := mappingForm.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("%q is no rule: write RULE:pattern/replacement/, with L or U behind it for lower or upper case, or DEFAULT", rest)
		}
		rest = rest[len(m[0]):]
		if m[1] != "" {
			out = append(out, mappingRule{})
			continue
		}
		pattern, err := regexp.Compile("^(?:" + m[2] + ")$")
		if err != nil {
			return nil, fmt.Errorf("the pattern of RULE:%s/: %w", m[2], err)
		}
		rule := mappingRule{pattern: pattern, replacement: backref.ReplaceAllString(m[3], "$${$1}"), fold: func(s string) string { return s }}
		switch m[4] {
		case "L":
			rule.fold = strings.ToLower
		case "U":
			rule.fold = strings.ToUpper
		}
		out = append(out, rule)
	}
	return out, nil
}

// Principal is the principal of a certificate's subject; a subject that no rule
// matches is nobody's.
func (m PrincipalMapping) Principal(subject string) (string, bool) {
	for _, r := range m {
		if r.pattern == nil {
			return "User:" + subject, true
		}
		if r.pattern.MatchString(subject) {
			return "User:" + r.fold(strings.TrimSpace(r.pattern.ReplaceAllString(subject, r.replacement))), true
		}
	}
	return "", false
}
