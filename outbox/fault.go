package outbox

// Fault points, in the order in which an event passes them: Config.Fault is called
// with their names. Each stands for a row of the crash table in the package
// comment. A test that ends the process there must find the outcome promised.
const (
	FaultLeading    = "leading"    // the lease is held, the stored position read
	FaultRead       = "read"       // events are read, nothing else has happened
	FaultSending    = "sending"    // what is about to be sent is stored, nothing sent
	FaultFirstAck   = "first ack"  // one event of the batch is acknowledged, perhaps more
	FaultPublished  = "published"  // all are acknowledged, which is not stored
	FaultStored     = "stored"     // that all are published is stored
	FaultRotated    = "rotated"    // the tables changed places
	FaultTruncating = "truncating" // a table is emptied, not committed
	FaultTruncated  = "truncated"  // a table is emptied
)

// FaultPoints lists them all.
var FaultPoints = []string{
	FaultLeading, FaultRead, FaultSending, FaultFirstAck, FaultPublished, FaultStored, FaultRotated, FaultTruncating, FaultTruncated,
}
