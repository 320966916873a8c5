package jsonfile

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Value is one JSON value and the place where it starts.
type Value struct {
	Pos     Position
	token   json.Token // nil, bool, json.Number, string, or the Delim that opens a list or an object
	items   []Value    // of a list
	members []member   // of an object, in the file's order
}

type member struct {
	key string
	pos Position
	val Value
}

// Object is a JSON object whose keys are all known.
type Object struct {
	Pos     Position
	members []member
}

// Text returns the text of v, which must be one.
func (v Value) Text() (string, error) {
	if s, ok := v.token.(string); ok {
		return s, nil
	}
	if n, ok := v.token.(json.Number); ok {
		return "", v.Pos.Errorf("found the number %s where a text belongs: put it in double quotes", clip(n.String()))
	}
	return "", v.Pos.Errorf("found %s where a text in double quotes belongs", v.describe())
}

// Bool returns the truth value of v, which must be one.
func (v Value) Bool() (bool, error) {
	if b, ok := v.token.(bool); ok {
		return b, nil
	}
	return false, v.Pos.Errorf("found %s where true or false belongs: write it without quotes", v.describe())
}

// List returns the values of v, which must be a list with at least one. what names them for errors, as in "drivers".
func (v Value) List(what string) ([]Value, error) {
	switch {
	case v.token != json.Delim('['):
		return nil, v.Pos.Errorf("found %s where a list of %s in [ ] belongs", v.describe(), what)
	case len(v.items) == 0:
		return nil, v.Pos.Errorf("the list of %s is empty: add at least one", what)
	}
	return v.items, nil
}

// Object returns the members of v, which must be an object with no other keys than these.
func (v Value) Object(keys ...string) (Object, error) {
	if v.token != json.Delim('{') {
		return Object{}, v.Pos.Errorf("found %s where an object in { } belongs", v.describe())
	}
	known := make(map[string]bool, len(keys))
	for _, k := range keys {
		known[k] = true
	}
	for _, m := range v.members {
		if !known[m.key] {
			return Object{}, m.pos.Errorf("unknown key %q: the keys are %s", clip(m.key), strings.Join(keys, ", "))
		}
	}
	return Object{Pos: v.Pos, members: v.members}, nil
}

// Get returns the value of key, which has to be there.
func (o Object) Get(key string) (Value, error) {
	v, ok := o.Lookup(key)
	if !ok {
		return Value{}, o.Pos.Errorf("the key %q is missing: add it to the object that starts here", key)
	}
	return v, nil
}

// Lookup returns the value of key, and false if it is not there.
func (o Object) Lookup(key string) (Value, bool) {
	for _, m := range o.members {
		if m.key == key {
			return m.val, true
		}
	}
	return Value{}, false
}

// describe names a value for people who put it at the wrong place.
func (v Value) describe() string {
	switch t := v.token.(type) {
	case string:
		return fmt.Sprintf("the text %q", clip(t))
	case json.Number:
		return "the number " + clip(t.String())
	case bool:
		return fmt.Sprint(t)
	case json.Delim:
		return containerName(t)
	}
	return "null"
}

func containerName(d json.Delim) string {
	if d == '[' {
		return "a list"
	}
	return "an object"
}

// clip bounds what an error repeats of a file.
func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// ParseText returns what parse makes of the text of v. parse's error is given v's position.
func ParseText[T any](v Value, parse func(string) (T, error)) (T, error) {
	var zero T
	s, err := v.Text()
	if err != nil {
		return zero, err
	}
	t, err := parse(s)
	if err != nil {
		return zero, v.Pos.Errorf("%v", err)
	}
	return t, nil
}
