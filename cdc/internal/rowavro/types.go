package rowavro

import (
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/quokka-stream/quokka/schemas/debezium"
)

// PGType is a type as the system catalog has it.
type PGType struct {
	OID  uint32
	Name string
	// Kind is pg_type.typtype: b(ase), d(omain), e(num), c(omposite), r(ange),
	// m(ultirange), p(seudo).
	Kind byte
	// Base, BaseMod and BaseDims are what a domain is over.
	Base     *PGType
	BaseMod  int32
	BaseDims int
	// Elem is what an array is of, Delim what stands between its elements.
	Elem  *PGType
	Delim byte
	// Labels are an enum's.
	Labels []string
}

const (
	oidBit      = pgtype.BitOID
	oidVarbit   = pgtype.VarbitOID
	oidMoney    = 790
	oidXML      = pgtype.XMLOID
	oidTSVector = pgtype.TSVectorOID
)

// Map decides how a column of type t, with the given modifier and declared
// dimensions, is written.
func Map(t *PGType, mod int32, dims int) (debezium.Type, AppendFunc) {
	switch {
	case t == nil:
		return text(debezium.Text)
	case t.Kind == 'd' && t.Base != nil:
		return Map(t.Base, t.BaseMod, t.BaseDims)
	case t.Kind == 'e':
		return debezium.Type{Kind: debezium.Enum, Labels: t.Labels}, appendString
	case t.Elem != nil:
		return mapArray(t, mod, dims)
	case t.Kind != 'b':
		return text(debezium.Text)
	}
	switch t.OID {
	case pgtype.BoolOID:
		return debezium.Type{Kind: debezium.Bool}, appendBool
	case pgtype.Int2OID:
		return debezium.Type{Kind: debezium.Int2}, appendInt(16)
	case pgtype.Int4OID:
		return debezium.Type{Kind: debezium.Int4}, appendInt(32)
	case pgtype.Int8OID:
		return debezium.Type{Kind: debezium.Int8}, appendInt(64)
	case pgtype.OIDOID:
		return debezium.Type{Kind: debezium.OID}, appendInt(64)
	case pgtype.Float4OID:
		return debezium.Type{Kind: debezium.Float4}, appendFloat4
	case pgtype.Float8OID:
		return debezium.Type{Kind: debezium.Float8}, appendFloat8
	case pgtype.NumericOID:
		return mapNumeric(mod)
	case oidMoney:
		return debezium.Type{Kind: debezium.Money}, appendMoney
	case oidBit:
		if mod == 1 {
			return debezium.Type{Kind: debezium.Bool}, appendBit
		}
		return debezium.Type{Kind: debezium.Bits, Length: int(max(mod, 0))}, appendBits
	case oidVarbit:
		return debezium.Type{Kind: debezium.Bits, Length: int(max(mod, 0))}, appendBits
	case pgtype.ByteaOID:
		return debezium.Type{Kind: debezium.Bytea}, appendBytea
	case oidXML:
		return text(debezium.XML)
	case oidTSVector:
		return text(debezium.TSVector)
	case pgtype.UUIDOID:
		return text(debezium.UUID)
	case pgtype.JSONOID, pgtype.JSONBOID:
		return text(debezium.JSON)
	}
	if typ, f := mapTemporal(t.OID, mod); f != nil {
		return typ, f
	}
	// Extensions get their type numbers when they are installed.
	switch t.Name {
	case "ltree":
		return text(debezium.LTree)
	case "hstore":
		return debezium.Type{Kind: debezium.JSON}, appendHstore
	}
	return text(debezium.Text)
}

func text(k debezium.Kind) (debezium.Type, AppendFunc) { return debezium.Type{Kind: k}, appendString }

func mapNumeric(mod int32) (debezium.Type, AppendFunc) {
	if mod < 4 {
		return debezium.Type{Kind: debezium.NumericAny}, appendVariableScale
	}
	mod -= 4
	// The scale is a signed number of 11 bits.
	precision, scale := int(mod>>16&0xffff), int((mod&0x7ff)^1024)-1024
	if scale < 0 || scale > precision {
		// PostgreSQL has such types, Avro's decimal does not.
		return debezium.Type{Kind: debezium.NumericAny}, appendVariableScale
	}
	return debezium.Type{Kind: debezium.Numeric, Precision: precision, Scale: scale}, appendDecimal(precision, scale)
}

func mapTemporal(oid uint32, mod int32) (debezium.Type, AppendFunc) {
	precision := int(mod)
	if mod < 0 || mod > 6 {
		precision = -1
	}
	millis := precision >= 0 && precision <= 3
	switch oid {
	case pgtype.DateOID:
		return debezium.Type{Kind: debezium.Date}, appendDate
	case pgtype.TimeOID:
		return debezium.Type{Kind: debezium.Time, Precision: precision}, appendTime(millis)
	case pgtype.TimetzOID:
		return debezium.Type{Kind: debezium.TimeTZ}, appendTimeTZ
	case pgtype.TimestampOID:
		return debezium.Type{Kind: debezium.Timestamp, Precision: precision}, appendTimestamp(millis)
	case pgtype.TimestamptzOID:
		digits := precision
		if digits < 0 {
			digits = 6
		}
		return debezium.Type{Kind: debezium.TimestampTZ}, appendTimestampTZ(digits)
	case pgtype.IntervalOID:
		return debezium.Type{Kind: debezium.Interval}, appendInterval
	}
	return debezium.Type{}, nil
}

func mapArray(t *PGType, mod int32, dims int) (debezium.Type, AppendFunc) {
	if dims > 1 {
		return text(debezium.Text)
	}
	elem, f := Map(t.Elem, mod, 0)
	if elem.Kind == debezium.Array { // a domain over an array as element
		return text(debezium.Text)
	}
	return debezium.Type{Kind: debezium.Array, Elem: &elem}, appendArray(t.Delim, f)
}
