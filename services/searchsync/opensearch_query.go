package searchsync

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/search/query"
)

// clause is a query in OpenSearch's language.
type clause = map[string]any

// translate parses a query as the embedded index does and returns what finds
// the same in OpenSearch. OpenSearch's own query strings are another language:
// there, "GET /orders" is an error and OR is no word.
func translate(text string) (clause, error) {
	if text == "" {
		return clause{"match_all": clause{}}, nil
	}
	parsed := bleve.NewQueryStringQuery(text)
	if err := parsed.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadQuery, err)
	}
	tree, err := parsed.Parse()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadQuery, err)
	}
	found, err := translateTree(tree)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadQuery, err)
	}
	// The parser splits ids and SKUs into words; as a whole they are terms.
	return anyOf(found, clause{"term": clause{metaExact: text}}), nil
}

func translateTree(q query.Query) (clause, error) {
	switch q := q.(type) {
	case *query.BooleanQuery:
		return translateBoolean(q)
	case *query.DisjunctionQuery:
		all, err := translateAll(q.Disjuncts)
		return boosted(anyOf(all...), q.BoostVal), err
	case *query.ConjunctionQuery:
		all, err := translateAll(q.Conjuncts)
		return clause{"bool": clause{"must": all}}, err
	case *query.MatchQuery:
		return boosted(matchWords(q.FieldVal, q.Match, q.Fuzziness), q.BoostVal), nil
	case *query.MatchPhraseQuery:
		return boosted(matchPhrase(q.FieldVal, q.MatchPhrase), q.BoostVal), nil
	case *query.WildcardQuery:
		return boosted(pattern("wildcard", q.FieldVal, q.Wildcard), q.BoostVal), nil
	case *query.RegexpQuery:
		return boosted(pattern("regexp", q.FieldVal, q.Regexp), q.BoostVal), nil
	case *query.NumericRangeQuery:
		return boosted(numericRange(q), q.BoostVal), nil
	case *query.DateRangeQuery:
		return boosted(dateRange(q), q.BoostVal), nil
	}
	return nil, errors.New("this kind of query is not supported")
}

func translateAll(queries []query.Query) ([]clause, error) {
	var out []clause
	for _, q := range queries {
		c, err := translateTree(q)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// translateBoolean: with a must the should clauses only add to the score, alone
// one of them has to match, as in OpenSearch's bool.
func translateBoolean(q *query.BooleanQuery) (clause, error) {
	parts := clause{}
	for name, part := range map[string]query.Query{"must": q.Must, "should": q.Should, "must_not": q.MustNot} {
		if part == nil {
			continue
		}
		c, err := translateTree(part)
		if err != nil {
			return nil, err
		}
		parts[name] = c
	}
	return clause{"bool": parts}, nil
}

func anyOf(clauses ...clause) clause {
	return clause{"bool": clause{"should": clauses, "minimum_should_match": 1}}
}

// boosted is c weighed in the score.
func boosted(c clause, boost *query.Boost) clause {
	if boost == nil {
		return c
	}
	return clause{"bool": clause{"must": c, "boost": boost.Value()}}
}

// matchWords finds any of the words in a field, or in all.
func matchWords(field, text string, fuzziness int) clause {
	match := clause{"query": text, "lenient": true} // of a number in a field of text
	if fuzziness > 0 {
		match["fuzziness"] = fuzziness
	}
	switch {
	case field == "":
		whole := []string{text}
		if lower := strings.ToLower(text); lower != text {
			whole = append(whole, lower)
		}
		return anyOf(clause{"match": clause{metaWords: match}}, clause{"terms": clause{metaExact: whole}})
	case nested(field):
		return clause{"term": clause{metaPairs: pair(field, text)}}
	}
	return clause{"match": clause{field: match}}
}

func matchPhrase(field, phrase string) clause {
	switch {
	case field == "":
		return anyOf(clause{"match_phrase": clause{metaWords: phrase}}, clause{"term": clause{metaExact: phrase}})
	case nested(field):
		return clause{"term": clause{metaPairs: pair(field, phrase)}}
	}
	return clause{"multi_match": clause{"type": "phrase", "fields": []string{field}, "query": phrase, "lenient": true}}
}

// pattern is a wildcard or a regular expression over whole terms.
func pattern(kind, field, text string) clause {
	one := func(field, text string) clause { return clause{kind: clause{field: clause{"value": text}}} }
	switch {
	case field == "":
		return anyOf(one(metaWords, text), one(metaExact, text))
	case nested(field):
		return one(metaPairs, pair(field, text))
	}
	return one(field, text)
}

// numericRange: a number without a field is found as a word already.
func numericRange(q *query.NumericRangeQuery) clause {
	if q.FieldVal == "" || slices.Contains(exactFields, q.FieldVal) {
		return clause{"match_none": clause{}}
	}
	limits := clause{}
	if q.Min != nil {
		limits[bound("gt", q.InclusiveMin, true)] = *q.Min
	}
	if q.Max != nil {
		limits[bound("lt", q.InclusiveMax, false)] = *q.Max
	}
	return clause{"range": clause{q.FieldVal: limits}}
}

func dateRange(q *query.DateRangeQuery) clause {
	limits := clause{}
	if !q.Start.IsZero() {
		limits[bound("gt", q.InclusiveStart, true)] = q.Start.Format(time.RFC3339Nano)
	}
	if !q.End.IsZero() {
		limits[bound("lt", q.InclusiveEnd, false)] = q.End.Format(time.RFC3339Nano)
	}
	return clause{"range": clause{q.FieldVal: limits}}
}

func bound(name string, inclusive *bool, otherwise bool) string {
	if inclusive == nil && otherwise || inclusive != nil && *inclusive {
		return name + "e"
	}
	return name
}

// nested reports whether a field is inside an object.
func nested(field string) bool { return strings.Contains(field, ".") }

func pair(path, value string) string { return path + "=" + value }

// nestedValues lists the words and path=value pairs of values inside objects.
func nestedValues(fields map[string]any) (words, pairs []string) {
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(path+"."+name, inner)
			}
		case []any:
			for _, inner := range v {
				walk(path, inner)
			}
		case nil:
		default:
			text := textOf(v)
			words, pairs = append(words, text), append(pairs, pair(path, text))
		}
	}
	for name, value := range fields {
		if object, ok := value.(map[string]any); ok {
			walk(name, object)
		}
	}
	slices.Sort(words) // a map has no order, a document has
	slices.Sort(pairs)
	return words, pairs
}

func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(value)
}
