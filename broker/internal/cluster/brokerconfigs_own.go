package cluster

// ownConfigs are the settings that Kafka's broker does not have, or does not define
// itself.
var ownConfigs = map[string]ConfigDef{
	"super.users":                     {Type: String, Doc: "Principals that may do everything, as User:admin, separated by semicolons."},
	"allow.everyone.if.no.acl.found":  {Type: Bool, Null: true, Doc: "Whether everybody who can log in may do everything before the first access rule; not set: yes, unless authorizer.class.name is set."},
	"quokka.allow.remote":             {Type: Bool, Default: "false", Doc: "Allow listeners that other machines can reach although they have no TLS with authentication."},
	"quokka.cluster.id":               {Type: String, Null: true, Doc: "Refuse a data directory of another cluster; a new one gets this id."},
	"quokka.decode.memory.bytes":      {Type: Long, Default: "268435456", Min: 1, Bounded: true, Doc: "The memory for requests being decoded, of all connections; they wait while it is used up."},
	"quokka.login.timeout.ms":         {Type: Int, Default: "5000", Min: 1, Bounded: true, Doc: "The time for a client's TLS handshake and authentication."},
	"quokka.write.timeout.ms":         {Type: Int, Default: "30000", Min: 1, Bounded: true, Doc: "After how long a client that takes no byte of an answer is disconnected; or one that sends no 256 KiB of the Produce request that goes beyond quokka.produce.memory.bytes."},
	"quokka.disk.reserve.bytes":       {Type: Long, Default: "67108864", Doc: "Bytes of the disk that are kept for the broker's own needs when it is full; 0 or less: none."},
	"quokka.flush":                    {Type: String, Default: "group", Values: []string{"group", "interval", "os"}, Doc: "When acknowledged records are on the disk: group (before), interval or os."},
	"quokka.flush.interval.ms":        {Type: Long, Default: "1000", Min: 1, Bounded: true, Doc: "The time between syncs with quokka.flush=interval."},
	"quokka.max.partitions":           {Type: Int, Default: "10000", Min: 1, Bounded: true, Doc: "The most partitions of all topics together."},
	"quokka.max.topic.partitions":     {Type: Int, Default: "1000", Min: 1, Bounded: true, Doc: "The most partitions of one topic."},
	"quokka.produce.memory.bytes":     {Type: Long, Default: "268435456", Min: 1, Bounded: true, Doc: "The memory for Produce requests of more than 64 KiB, of all connections; while it is used up they are not read on, but for one."},
	"quokka.replication.factor.clamp": {Type: Bool, Default: "false", Doc: "Create topics that are to have several replicas with one, instead of refusing them."},
	"quokka.request.max.bytes":        {Type: Int, Default: "1048576", Min: 1, Bounded: true, Doc: "The largest request other than Produce, which socket.request.max.bytes bounds."},
	"quokka.listen":                   {Type: String, Null: true, Doc: "The address of a single listener, as host:port; in place of listeners."},
	"quokka.advertise":                {Type: String, Null: true, Doc: "The host:port that its clients are told to connect to; not set: the address by which they came."},
	"quokka.sasl":                     {Type: Bool, Default: "false", Doc: "Whether its clients have to log in."},
	"quokka.scrub.bytes.per.second":   {Type: Long, Default: "8388608", Doc: "How much is read in the background to find damage in old segments, each of which is read once a week; 0 or less: nothing."},
	"quokka.tls.cert":                 {Type: String, Null: true, Doc: "PEM file with its certificate chain, which encrypts it; read again when it changes."},
	"quokka.tls.key":                  {Type: String, Null: true, Doc: "PEM file with the key of that certificate, not encrypted."},
	"quokka.tls.client.ca":            {Type: String, Null: true, Doc: "PEM file with authorities' certificates: its clients must show a certificate of one of them."},
	"quokka.users.file":               {Type: String, Null: true, Doc: "File of first users, a line name:password each."},
}
