package telemetry

import "time"

// SetGrace changes how long Run goes on after its context's end.
func (s *Shipper) SetGrace(d time.Duration) { s.grace = d }
