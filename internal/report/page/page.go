// Package page shows an inventory of images as one HTML file: OpenShift releases by drivers, with a search and with
// what a cluster needs to copy. The file loads nothing, so it works from a disk, a web server or GitHub Pages alike.
//
// It is a function of its input. What the input says is text to the page, never markup or script: html/template
// escapes it, the script puts it into the document as text, and the page's own policy runs no other script.
package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"time"

	"neuron-kmod/internal/plan/inventory"
	"neuron-kmod/internal/version"
)

// Input is what a page is made from.
type Input struct {
	Inventory *inventory.Inventory
	Made      time.Time // when it was made, which the page tells
	// DeviceConfig and Module return the YAML with which a cluster uses the images of a driver. nil leaves the button
	// out.
	DeviceConfig, Module func(version.Driver) (string, error)
}

var (
	//go:embed page.html
	layout string
	//go:embed style.css
	style string
	//go:embed script.js
	script string

	layoutTemplate = template.Must(template.New("page.html").Parse(layout))
)

// Write writes the page. The same input gives the same bytes. Its errors are those of w and of the input's functions.
func Write(w io.Writer, in Input) error {
	v, err := newView(in)
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	// html/template takes these two as they are: they are the program's own files.
	v.Style, v.Script = template.CSS(style), template.JS(script)
	v.Policy = policy()
	if err := layoutTemplate.Execute(w, v); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// policy lets the page run its own script and use its own style, and nothing else.
// https://www.w3.org/TR/CSP3/
func policy() string {
	return fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; base-uri 'none'; "+
		"form-action 'none'; require-trusted-types-for 'script'", hash(script), hash(style))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
