package cdc

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/cdc/internal/pgrepl"
)

func TestDecide(t *testing.T) {
	src := Source{Name: "order", Database: "quokka_order", Slot: "quokka_cdc_order"}
	sys := pgrepl.System{ID: "42", Flushed: 1000}
	slot := func(change func(*pgrepl.Slot)) *pgrepl.Slot {
		s := &pgrepl.Slot{Plugin: "pgoutput", Database: "quokka_order", Confirmed: 100, WALStatus: "reserved"}
		if change != nil {
			change(s)
		}
		return s
	}
	progress := func(change func(*state)) *state {
		s := &state{SystemID: "42", Position: 100, Tables: map[string]uint32{"public.a": 1, "public.b": 2}}
		if change != nil {
			change(s)
		}
		return s
	}
	a, b, c := published{oid: 1, schema: "public", name: "a"}, published{oid: 2, schema: "public", name: "b"}, published{oid: 3, schema: "public", name: "c"}
	both := []published{a, b}
	tests := []struct {
		name      string
		st        *state
		slot      *pgrepl.Slot
		published []published
		want      plan
		err       error
		// resnapshot is the plan with Resnapshot, nil if that changes nothing.
		resnapshot *plan
	}{
		{name: "first start", want: plan{create: true, missing: both}},
		{name: "killed while the slot was created", st: progress(func(s *state) { s.Position = 0 }), want: plan{create: true, missing: both}},
		{name: "killed before the slot was noted", st: progress(func(s *state) { s.Position = 0 }), slot: slot(nil), want: plan{create: true, drop: true, missing: both}},
		{name: "killed in the snapshot", st: progress(func(s *state) { delete(s.Tables, "public.b") }), slot: slot(nil), want: plan{from: 100, missing: both[1:]}},
		{name: "goes on", st: progress(nil), slot: slot(nil), want: plan{from: 100}},
		{name: "confirmation lost in a crash of the server", st: progress(nil), slot: slot(func(s *pgrepl.Slot) { s.Confirmed = 50 }), want: plan{from: 100}},
		{name: "a table joined", st: progress(nil), slot: slot(nil), published: []published{a, b, c}, want: plan{from: 100, missing: []published{c}}},
		{name: "a table was created anew", st: progress(func(s *state) { s.Tables["public.b"] = 9 }), slot: slot(nil), want: plan{from: 100, missing: both[1:]}},
		{name: "a table left", st: progress(nil), slot: slot(nil), published: both[:1], want: plan{from: 100}},
		{name: "dropped", st: progress(nil), err: ErrSlotLost, resnapshot: &plan{create: true, missing: both}},
		{name: "lost", st: progress(nil), slot: slot(func(s *pgrepl.Slot) { s.WALStatus = "lost" }), err: ErrSlotLost, resnapshot: &plan{create: true, drop: true, missing: both}},
		{name: "idle too long", st: progress(nil), slot: slot(func(s *pgrepl.Slot) { s.Invalidated = "idle_timeout" }), err: ErrSlotLost, resnapshot: &plan{create: true, drop: true, missing: both}},
		{name: "advanced by hand", st: progress(nil), slot: slot(func(s *pgrepl.Slot) { s.Confirmed = 101 }), err: ErrSlotMoved, resnapshot: &plan{create: true, drop: true, missing: both}},
		{name: "other server", st: progress(func(s *state) { s.SystemID = "41" }), slot: slot(nil), err: ErrOtherSystem, resnapshot: &plan{create: true, drop: true, missing: both}},
		{name: "other server, killed while creating", st: progress(func(s *state) { s.SystemID, s.Position = "41", 0 }), err: ErrOtherSystem, resnapshot: &plan{create: true, missing: both}},
		{name: "restored server", st: progress(func(s *state) { s.Position = 2000 }), slot: slot(nil), err: ErrBehind, resnapshot: &plan{create: true, drop: true, missing: both}},
		{name: "other Kafka", slot: slot(nil), err: ErrSlotUnknown, resnapshot: &plan{create: true, drop: true, missing: both}},
		{name: "slot of another database", slot: slot(func(s *pgrepl.Slot) { s.Database = "x" }), err: ErrSlotForeign},
		{name: "slot of another plugin", st: progress(nil), slot: slot(func(s *pgrepl.Slot) { s.Plugin = "wal2json" }), err: ErrSlotForeign},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.published == nil {
				tt.published = both
			}
			for _, resnapshot := range []bool{false, true} {
				want, wantErr := tt.want, tt.err
				if resnapshot && tt.resnapshot != nil {
					want, wantErr = *tt.resnapshot, nil
				}
				got, err := decide(src, tt.st, tt.slot, sys, tt.published, resnapshot)
				if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
					t.Fatalf("resnapshot %v: error %v, want %v", resnapshot, err, wantErr)
				}
				if err != nil {
					e, ok := errors.AsType[*SlotError](err)
					if !ok || e.WayOut == "" || !strings.Contains(err.Error(), "quokka_cdc_order") || !permanent(err) {
						t.Errorf("error without a way out: %v", err)
					}
				}
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(plan{}, published{})); diff != "" {
					t.Errorf("resnapshot %v: want - got +\n%s", resnapshot, diff)
				}
			}
		})
	}
}
