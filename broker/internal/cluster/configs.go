package cluster

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// ConfigType is the type of a setting, with the number that DescribeConfigs uses.
type ConfigType int8

// The types of settings.
const (
	Bool     ConfigType = 1
	String   ConfigType = 2
	Int      ConfigType = 3
	Short    ConfigType = 4
	Long     ConfigType = 5
	Double   ConfigType = 6
	List     ConfigType = 7
	Class    ConfigType = 8
	Password ConfigType = 9 // never shown to anyone
)

// ConfigDef defines a setting.
type ConfigDef struct {
	Type     ConfigType
	Default  string
	Null     bool           // there is no default
	Min      float64        // of a number, when Bounded
	Bounded  bool           // whether Min holds
	Max      float64        // of a number, when Capped
	Capped   bool           // whether Max holds
	Except   []string       // values that are allowed although Min and Max forbid them
	Values   []string       // the only values of a String or List, when not nil
	NoCase   bool           // Values are compared without regard to case
	NonEmpty bool           // of a String
	Each     *regexp.Regexp // what the elements of a List look like, when not nil
	Synonym  string         // of a topic setting: the broker's setting that is its default
	Synonyms []Synonym      // of a broker setting: those that give it a value where it has none
	Update   Update         // of a broker setting
	Internal bool           // not described
	Doc      string
}

const (
	maxLong = "9223372036854775807"
)

var compressionTypes = []string{"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"}

// throttledReplicas is partition:broker, or all of them.
var throttledReplicas = regexp.MustCompile(`^(\*|\d+:\d+)$`)

var subjectStrategies = []string{
	"io.confluent.kafka.serializers.subject.TopicNameStrategy",
	"io.confluent.kafka.serializers.subject.RecordNameStrategy",
	"io.confluent.kafka.serializers.subject.TopicRecordNameStrategy",
}

// TopicConfigs are the settings of a topic: all of Apache Kafka 4.1, and those of
// schema-id validation.
var TopicConfigs = map[string]ConfigDef{
	"cleanup.policy":                          {Type: List, Default: "delete", Values: []string{"compact", "delete"}, Synonym: "log.cleanup.policy", Doc: "What becomes of old segments: delete them by retention, compact them by key, or both."},
	"compression.type":                        {Type: String, Default: "producer", Values: compressionTypes, Synonym: "compression.type", Doc: "The codec batches are stored with; producer keeps what was sent, others are compressed anew."},
	"compression.gzip.level":                  {Type: Int, Default: "-1", Min: 1, Bounded: true, Max: 9, Capped: true, Except: []string{"-1"}, Synonym: "compression.gzip.level", Doc: "No effect: compression.type gzip uses the codec's own level."},
	"compression.lz4.level":                   {Type: Int, Default: "9", Min: 1, Bounded: true, Max: 17, Capped: true, Synonym: "compression.lz4.level", Doc: "No effect: compression.type lz4 uses the codec's own level."},
	"compression.zstd.level":                  {Type: Int, Default: "3", Min: -131072, Bounded: true, Max: 22, Capped: true, Synonym: "compression.zstd.level", Doc: "No effect: compression.type zstd uses the codec's own level."},
	"delete.retention.ms":                     {Type: Long, Default: "86400000", Bounded: true, Synonym: "log.cleaner.delete.retention.ms", Doc: "How long compaction keeps a tombstone."},
	"file.delete.delay.ms":                    {Type: Long, Default: "60000", Bounded: true, Synonym: "log.segment.delete.delay.ms", Doc: "No effect: files go when their last reader has."},
	"flush.messages":                          {Type: Long, Default: maxLong, Min: 1, Bounded: true, Synonym: "log.flush.interval.messages", Doc: "No effect: the broker's flush policy decides."},
	"flush.ms":                                {Type: Long, Default: maxLong, Bounded: true, Synonym: "log.flush.interval.ms", Doc: "No effect: the broker's flush policy decides."},
	"follower.replication.throttled.replicas": {Type: List, Default: "", Each: throttledReplicas, Doc: "No effect with one broker."},
	"index.interval.bytes":                    {Type: Int, Default: "4096", Bounded: true, Synonym: "log.index.interval.bytes", Doc: "How many bytes lie between two entries of the offset index."},
	"leader.replication.throttled.replicas":   {Type: List, Default: "", Each: throttledReplicas, Doc: "No effect with one broker."},
	"local.retention.bytes":                   {Type: Long, Default: "-2", Min: -2, Bounded: true, Synonym: "log.local.retention.bytes", Doc: "No effect without tiered storage."},
	"local.retention.ms":                      {Type: Long, Default: "-2", Min: -2, Bounded: true, Synonym: "log.local.retention.ms", Doc: "No effect without tiered storage."},
	"max.compaction.lag.ms":                   {Type: Long, Default: maxLong, Min: 1, Bounded: true, Synonym: "log.cleaner.max.compaction.lag.ms", Doc: "After how long a record must have become eligible for compaction."},
	"max.message.bytes":                       {Type: Int, Default: "1048588", Bounded: true, Synonym: "message.max.bytes", Doc: "The largest batch accepted."},
	"message.timestamp.after.max.ms":          {Type: Long, Default: "3600000", Bounded: true, Synonym: "log.message.timestamp.after.max.ms", Doc: "How far ahead of the broker's clock a record's timestamp may be."},
	"message.timestamp.before.max.ms":         {Type: Long, Default: maxLong, Bounded: true, Synonym: "log.message.timestamp.before.max.ms", Doc: "How far behind the broker's clock a record's timestamp may be."},
	"message.timestamp.type":                  {Type: String, Default: "CreateTime", Values: []string{"CreateTime", "LogAppendTime"}, Synonym: "log.message.timestamp.type", Doc: "Whether records keep the producer's timestamp or get the broker's."},
	"min.cleanable.dirty.ratio":               {Type: Double, Default: "0.5", Bounded: true, Max: 1, Capped: true, Synonym: "log.cleaner.min.cleanable.ratio", Doc: "The share of a log that must be uncompacted before compaction runs."},
	"min.compaction.lag.ms":                   {Type: Long, Default: "0", Bounded: true, Synonym: "log.cleaner.min.compaction.lag.ms", Doc: "How long a record is kept from compaction."},
	"min.insync.replicas":                     {Type: Int, Default: "1", Min: 1, Bounded: true, Synonym: "min.insync.replicas", Doc: "How many replicas must have a batch before acks=all is answered; above the number of brokers nothing can be produced with acks=all."},
	"preallocate":                             {Type: Bool, Default: "false", Synonym: "log.preallocate", Doc: "No effect: segments show their true sizes."},
	"remote.log.copy.disable":                 {Type: Bool, Default: "false", Doc: "No effect without tiered storage."},
	"remote.log.delete.on.disable":            {Type: Bool, Default: "false", Doc: "No effect without tiered storage."},
	"remote.storage.enable":                   {Type: Bool, Default: "false", Values: []string{"false"}, Doc: "No effect: there is no tiered storage, and only false is accepted."},
	"retention.bytes":                         {Type: Long, Default: "-1", Synonym: "log.retention.bytes", Doc: "The size of a partition above which its oldest segments are deleted; -1: no limit."},
	"retention.ms":                            {Type: Long, Default: "604800000", Min: -1, Bounded: true, Synonym: "log.retention.ms", Doc: "The age above which segments are deleted; -1: never."},
	"segment.bytes":                           {Type: Int, Default: "1073741824", Min: 1048576, Bounded: true, Synonym: "log.segment.bytes", Doc: "The size at which a new segment begins."},
	"segment.index.bytes":                     {Type: Int, Default: "10485760", Min: 4, Bounded: true, Synonym: "log.index.size.max.bytes", Doc: "No effect: an offset index grows with its segment."},
	"segment.jitter.ms":                       {Type: Long, Default: "0", Bounded: true, Synonym: "log.roll.jitter.ms", Doc: "No effect: segments end at their own ages, which differ from partition to partition."},
	"segment.ms":                              {Type: Long, Default: "604800000", Min: 1, Bounded: true, Synonym: "log.roll.ms", Doc: "The age at which a new segment begins."},
	"unclean.leader.election.enable":          {Type: Bool, Default: "false", Synonym: "unclean.leader.election.enable", Doc: "No effect with one broker."},

	"confluent.key.schema.validation":       {Type: Bool, Default: "false", Doc: "Whether keys must carry a registered schema id; needs a record check."},
	"confluent.value.schema.validation":     {Type: Bool, Default: "false", Doc: "Whether values must carry a registered schema id; needs a record check."},
	"confluent.key.subject.name.strategy":   {Type: String, Default: subjectStrategies[0], Values: subjectStrategies, Doc: "How the subject of a key's schema is named."},
	"confluent.value.subject.name.strategy": {Type: String, Default: subjectStrategies[0], Values: subjectStrategies, Doc: "How the subject of a value's schema is named."},
}

// Check refuses a value that the setting cannot have.
func (d ConfigDef) Check(name, value string) error {
	if d.Type == Password {
		return nil
	}
	if why := d.wrong(value); why != "" {
		return refuse(errcode.InvalidConfig, "Invalid value %s for configuration %s: %s", value, name, why)
	}
	return nil
}

// wrong says in Kafka's words why a value cannot be, "" when it can.
func (d ConfigDef) wrong(value string) string {
	switch d.Type {
	case Bool:
		if v := strings.ToLower(strings.TrimSpace(value)); v != "true" && v != "false" {
			return "Expected value to be either true or false"
		} else if d.Values != nil && !slices.Contains(d.Values, v) {
			return "String must be one of: " + strings.Join(d.Values, ", ")
		}
	case Short, Int, Long, Double:
		return d.wrongNumber(strings.TrimSpace(value))
	case List:
		for _, v := range SplitList(value) {
			if d.Values != nil && !slices.Contains(d.Values, v) {
				return "String must be one of: " + strings.Join(d.Values, ", ")
			}
			if d.Each != nil && !d.Each.MatchString(v) {
				return "each element must match " + d.Each.String()
			}
		}
	default:
		if d.NonEmpty && value == "" {
			return "String must be non-empty"
		}
		if d.Values != nil && !slices.ContainsFunc(d.Values, func(v string) bool { return v == value || d.NoCase && strings.EqualFold(v, value) }) {
			return "String must be one of: " + strings.Join(d.Values, ", ")
		}
	}
	return ""
}

func (d ConfigDef) wrongNumber(value string) string {
	if slices.Contains(d.Except, value) {
		return ""
	}
	var n float64
	var err error
	if d.Type == Double {
		n, err = strconv.ParseFloat(value, 64)
	} else {
		var i int64
		i, err = strconv.ParseInt(value, 10, map[ConfigType]int{Short: 16, Int: 32, Long: 64}[d.Type])
		n = float64(i)
	}
	switch {
	case err != nil || math.IsNaN(n):
		return "Not a number of type " + map[ConfigType]string{Short: "SHORT", Int: "INT", Long: "LONG", Double: "DOUBLE"}[d.Type]
	case d.Bounded && n < d.Min:
		return "Value must be at least " + strconv.FormatFloat(d.Min, 'f', -1, 64)
	case d.Capped && n > d.Max:
		return "Value must be no more than " + strconv.FormatFloat(d.Max, 'f', -1, 64)
	}
	return ""
}

// SplitList returns the elements of a List value.
func SplitList(value string) []string {
	var out []string
	for v := range strings.SplitSeq(value, ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// CheckTopicConfigs refuses settings that are unknown, or cannot have their value.
func CheckTopicConfigs(configs map[string]string) error {
	for name, value := range configs {
		def, ok := TopicConfigs[name]
		if !ok {
			return refuse(errcode.InvalidConfig, "Unknown topic config name: %s", name)
		}
		if err := def.Check(name, value); err != nil {
			return err
		}
	}
	if lo, ok := configs["min.compaction.lag.ms"]; ok {
		if hi, ok := configs["max.compaction.lag.ms"]; ok {
			l, _ := strconv.ParseInt(lo, 10, 64) // checked above
			h, _ := strconv.ParseInt(hi, 10, 64)
			if l > h {
				return refuse(errcode.InvalidConfig, "conflict topic config setting min.compaction.lag.ms (%s) > max.compaction.lag.ms (%s)", lo, hi)
			}
		}
	}
	return nil
}

// ConfigInt returns a numeric setting of a topic.
func (i *Image) ConfigInt(t *Topic, name string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(i.Config(t, name)), 10, 64) // checked when it was set
	return n
}

// ConfigFloat returns a fractional setting of a topic.
func (i *Image) ConfigFloat(t *Topic, name string) float64 {
	f, _ := strconv.ParseFloat(strings.TrimSpace(i.Config(t, name)), 64) // checked when it was set
	return f
}
