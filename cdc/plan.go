package cdc

import (
	"errors"
	"fmt"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/cdc/internal/pgrepl"
)

// plan is how a source goes on from what it finds.
type plan struct {
	// create: there is no slot of ours with anything in it. Drop what is left of
	// one, create it, read all tables under its snapshot.
	create bool
	// drop: a slot is there and in the way.
	drop bool
	// from is where to stream from, once missing is empty.
	from pgoutput.LSN
	// missing are tables whose rows have not been read.
	missing []published
}

// decide compares progress, slot, server and publication. st is nil without
// progress, slot is nil without a slot.
//
// A slot whose creation was not completed (progress without position) has
// nothing of ours in it: no row was written under it. Once a position is
// stored, the slot is never dropped to repeat a snapshot that was cut short:
// the rows that were written already may have been deleted since, and only the
// slot has those deletes. The snapshot is made again under a temporary slot
// instead, and the stream starts where it would have.
func decide(src Source, st *state, slot *pgrepl.Slot, sys pgrepl.System, all []published, resnapshot bool) (plan, error) {
	if refusal := refuse(src, st, slot, sys); refusal != nil {
		if !resnapshot || errors.Is(refusal, ErrSlotForeign) {
			return plan{}, refusal
		}
		st = nil
	}
	if st == nil || st.Position == 0 {
		return plan{create: true, drop: slot != nil, missing: all}, nil
	}
	p := plan{from: st.Position}
	for _, t := range all {
		if st.Tables[t.String()] != t.oid {
			p.missing = append(p.missing, t)
		}
	}
	return p, nil
}

// refuse returns why progress and slot do not fit, nil if they do.
func refuse(src Source, st *state, slot *pgrepl.Slot, sys pgrepl.System) *SlotError {
	const startOver = "to start over with a new snapshot, set QUOKKA_CDC_RESNAPSHOT=true and recreate the source's topics"
	fail := func(reason error, wayOut, format string, args ...any) *SlotError {
		return &SlotError{Source: src.Name, Slot: src.Slot, Reason: reason, Detail: fmt.Sprintf(format, args...), WayOut: wayOut}
	}
	switch {
	case slot != nil && (slot.Database != src.Database || slot.Plugin != "pgoutput"):
		return fail(ErrSlotForeign, "give the source another slot name",
			"it is of database %q with plugin %q", slot.Database, slot.Plugin)
	case st == nil && slot != nil:
		return fail(ErrSlotUnknown, "if cdc should write to another Kafka cluster or state topic, point it there; "+startOver,
			"this Kafka cluster has no progress for it, so it cannot tell what was written")
	case st == nil:
		return nil
	case st.SystemID != sys.ID:
		return fail(ErrOtherSystem, "point cdc to the server it streamed from; "+startOver,
			"progress is of system %s, this is system %s", st.SystemID, sys.ID)
	case st.Position == 0:
		return nil
	case slot == nil:
		return fail(ErrSlotLost, startOver,
			"it does not exist, and changes after %s went with it", st.Position)
	case slot.WALStatus == "lost" || slot.Invalidated != "":
		why := slot.Invalidated
		if why == "" {
			why = "max_slot_wal_keep_size was exceeded"
		}
		return fail(ErrSlotLost, startOver, "the server removed log that it needs after %s: %s", slot.Confirmed, why)
	case slot.Confirmed > st.Position:
		return fail(ErrSlotMoved, startOver,
			"it is confirmed up to %s, but only changes up to %s are known to be written: somebody else streamed from it, advanced it or created it anew", slot.Confirmed, st.Position)
	case st.Position > sys.Flushed:
		return fail(ErrBehind, startOver,
			"changes up to %s were written, but the server's log ends at %s: it was restored from a backup, or failed over to a copy that lagged", st.Position, sys.Flushed)
	}
	return nil
}
