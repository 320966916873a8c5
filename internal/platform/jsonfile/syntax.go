package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// checkText refuses bytes that are no JSON text at all.
func (p *parser) checkText() error {
	if bytes.HasPrefix(p.data, []byte("\ufeff")) {
		return p.at.Errorf("the file starts with a byte order mark: save it as UTF-8 without one")
	}
	for off := 0; off < len(p.data); {
		r, size := utf8.DecodeRune(p.data[off:])
		if r == utf8.RuneError && size == 1 {
			return p.moveTo(off).Errorf("the byte 0x%02x is not UTF-8: save the file as UTF-8", p.data[off])
		}
		off += size
	}
	if len(bytes.TrimLeft(p.data, " \t\r\n")) == 0 {
		return p.at.Errorf("the file is empty: write it or fetch it again")
	}
	return nil
}

// syntaxError says in plain words why the decoder stopped. The decoder's own offsets of such errors do not count
// brackets and commas; its InputOffset does.
func (p *parser) syntaxError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return p.truncated()
	}
	off := p.skip(int(p.dec.InputOffset()), " \t\r\n")
	if off == len(p.data) {
		return p.truncated()
	}
	pos := p.moveTo(off)
	if p.data[off] == '"' && p.mayStart(off) {
		return pos.Errorf("the text that starts here is not right (%v): close it with a double quote in the same line, "+
			"and write \\\\ for a backslash", err)
	}
	r, _ := utf8.DecodeRune(p.data[off:])
	return pos.Errorf("unexpected %q: %s", string(r), p.mend(r, off))
}

// truncated is the error for a file that ends too early.
func (p *parser) truncated() error {
	end := p.moveTo(len(p.data))
	if len(p.open) == 0 {
		return end.Errorf("the file ends inside a value: complete it or fetch it again")
	}
	in := p.open[len(p.open)-1]
	return end.Errorf("the file ends inside %s that starts in line %d, column %d: complete it or fetch it again",
		containerName(in.delim), in.pos.Line, in.pos.Column)
}

// before returns the last byte before off that is not white space, 0 if there is none.
func (p *parser) before(off int) byte {
	passed := bytes.TrimRight(p.data[:off], " \t\r\n")
	if len(passed) == 0 {
		return 0
	}
	return passed[len(passed)-1]
}

// mayStart reports whether a value or a key may start at off.
func (p *parser) mayStart(off int) bool {
	return bytes.IndexByte([]byte("\x00[{,:"), p.before(off)) >= 0
}

// mend says what to do about the character at off, which cannot be there.
func (p *parser) mend(r rune, off int) string {
	inList := len(p.open) > 0 && p.open[len(p.open)-1].delim == json.Delim('[')
	inObject := len(p.open) > 0 && !inList
	switch before := p.before(off); {
	case r == '/' || r == '#':
		return "JSON has no comments, take it out"
	case strings.ContainsRune("'`\u2018\u2019\u201c\u201d", r):
		return `a text stands in plain double quotes (")`
	case (r == ']' || r == '}') && before == ',':
		return "take out the comma before it"
	case off > 0 && isWord(p.data[off-1]) && isWord(p.data[off]): // two dots in a number, as in 4.20.16
		return "put the whole value in double quotes"
	case p.mayStart(off) && inObject && !p.key:
		return "a key in double quotes belongs here"
	case p.mayStart(off):
		return "a value belongs here, a text in double quotes"
	case p.key:
		return "a colon is missing before it"
	case inList:
		return `a comma is missing before it, or a "]"`
	case inObject:
		return `a comma is missing before it, or a "}"`
	}
	return "take it out"
}

// isWord reports whether c can be part of a number or word.
func isWord(c byte) bool {
	return c == '.' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
