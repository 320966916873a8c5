package command

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain is also the process that TestDiesWithParent kills: it runs a program that would go on.
func TestMain(m *testing.M) {
	if os.Getenv("COMMAND_TEST_PARENT") == "" {
		os.Exit(m.Run())
	}
	err := Run(context.Background(), Cmd{
		Name: "/bin/sh", Args: []string{"-c", "echo $$; exec sleep 1000"}, Stdout: os.Stdout,
	})
	os.Stderr.WriteString(err.Error())
	os.Exit(1)
}

// R8.2: what a killed run started does not go on beside the run that cleans up after it.
func TestDiesWithParent(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(exe)
	parent.Env = append(os.Environ(), "COMMAND_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatal("the program does not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed
	for deadline := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("program %d outlives its killed parent", pid)
		}
	}
}
