package jsonfile

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Parse reads the one JSON value that data has to consist of; name is the file's name in errors. Beyond what JSON
// forbids it refuses a byte order mark, text that is not UTF-8, a key that an object has twice, and what goes over the
// package's bounds. Every error is an *Error.
//
// encoding/json's tokens and this package's wording are less code than jsontext (github.com/go-json-experiment/json
// v1.27.2, the draft of encoding/json/v2) with the wording mapped: that names the comma in "[1,]" where the bracket is
// to be seen, a bad text by its bad character and not by its start, and not where a key stood first; and decoding into
// structures would report a bad value before an unknown or missing key, which is what to mend first.
func Parse(name string, data []byte) (Value, error) {
	if len(data) > MaxSize {
		return Value{}, tooLarge(name)
	}
	p := &parser{data: data, at: Position{File: name, Line: 1, Column: 1}}
	if err := p.checkText(); err != nil {
		return Value{}, err
	}
	p.dec = json.NewDecoder(bytes.NewReader(data))
	p.dec.UseNumber()
	tok, pos, err := p.next()
	if err != nil {
		return Value{}, err
	}
	v, err := p.value(tok, pos)
	if err != nil {
		return Value{}, err
	}
	if rest := p.skip(int(p.dec.InputOffset()), " \t\r\n"); rest < len(data) {
		return Value{}, p.moveTo(rest).Errorf("there is more after the end of the value: take it out")
	}
	return v, nil
}

// parser turns the decoder's tokens into values with positions.
type parser struct {
	data   []byte
	dec    *json.Decoder
	values int
	open   []container // that the parser is inside of, outermost first
	key    bool        // the last token was an object's key

	// The place of offset in data. It only moves forward, so that finding all places is one pass.
	at     Position
	offset int
}

type container struct {
	delim json.Delim
	pos   Position
}

// value completes the value that starts with tok.
func (p *parser) value(tok json.Token, pos Position) (Value, error) {
	v := Value{Pos: pos, token: tok}
	delim, ok := tok.(json.Delim)
	if !ok {
		return v, nil
	}
	if len(p.open) == maxDepth {
		return v, pos.Errorf("more than %d lists and objects inside one another: this cannot be the right file", maxDepth)
	}
	p.open = append(p.open, container{delim: delim, pos: pos})
	var err error
	if delim == '[' {
		v.items, err = p.items()
	} else {
		v.members, err = p.members()
	}
	p.open = p.open[:len(p.open)-1]
	return v, err
}

// items reads a list up to its end.
func (p *parser) items() ([]Value, error) {
	var items []Value
	for {
		tok, pos, err := p.next()
		if err != nil || tok == json.Delim(']') {
			return items, err
		}
		v, err := p.value(tok, pos)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
}

// members reads an object up to its end.
func (p *parser) members() ([]member, error) {
	var members []member
	seen := map[string]Position{}
	for {
		tok, pos, err := p.next()
		if err != nil || tok == json.Delim('}') {
			return members, err
		}
		key, ok := tok.(string)
		if !ok { // the decoder has refused it already
			return nil, pos.Errorf("a key in double quotes belongs here")
		}
		if first, ok := seen[key]; ok {
			return nil, pos.Errorf("the key %q is here twice, first in line %d: take one out", clip(key), first.Line)
		}
		seen[key] = pos
		p.key = true
		if tok, pos, err = p.next(); err != nil {
			return nil, err
		}
		p.key = false
		v, err := p.value(tok, pos)
		if err != nil {
			return nil, err
		}
		members = append(members, member{key: key, pos: seen[key], val: v})
	}
}

// next returns the next token and where it starts.
func (p *parser) next() (json.Token, Position, error) {
	start := p.skip(int(p.dec.InputOffset()), " \t\r\n,:")
	tok, err := p.dec.Token()
	if err != nil {
		return nil, Position{}, p.syntaxError(err)
	}
	pos := p.moveTo(start)
	if p.values++; p.values > maxValues {
		return nil, Position{}, pos.Errorf("more than %d values: this cannot be the right file", maxValues)
	}
	return tok, pos, nil
}

// skip returns the first offset from off on that holds none of these bytes.
func (p *parser) skip(off int, these string) int {
	for off < len(p.data) && bytes.IndexByte([]byte(these), p.data[off]) >= 0 {
		off++
	}
	return off
}

// moveTo returns the place of an offset, which must not be before an earlier one.
func (p *parser) moveTo(off int) Position {
	passed := p.data[p.offset:off]
	if nl := bytes.LastIndexByte(passed, '\n'); nl >= 0 {
		p.at.Line += bytes.Count(passed, []byte{'\n'})
		p.at.Column = 1
		passed = passed[nl+1:]
	}
	p.at.Column += utf8.RuneCount(passed)
	p.offset = off
	return p.at
}
