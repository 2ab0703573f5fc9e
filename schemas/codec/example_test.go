package codec_test

import (
	"fmt"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// A reader with one field more than the writer had gets its default.
func ExampleResolve() {
	v1 := codec.MustParse(`{"type":"record","name":"User","fields":[
		{"name":"name","type":"string"}]}`)
	v2 := codec.MustParse(`{"type":"record","name":"User","fields":[
		{"name":"name","type":"string"},
		{"name":"email","type":"string","default":"unknown"}]}`)
	written, err := v1.AppendEncode(nil, map[string]any{"name": "Ada"})
	if err != nil {
		panic(err)
	}
	reader, err := codec.Resolve(v1, v2)
	if err != nil {
		panic(err)
	}
	var user struct {
		Name  string `avro:"name"`
		Email string `avro:"email"`
	}
	if err := reader.Decode(written, &user); err != nil {
		panic(err)
	}
	fmt.Println(user.Name, user.Email)
	// Output: Ada unknown
}
