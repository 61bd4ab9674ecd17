// A push to every user's device: a goroutine for each user, and a WaitGroup for all.
package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"versus/serving"
)

var (
	provider = "http://127.0.0.1:" + serving.Arg(1, "0") + "/count"
	client   = &http.Client{Transport: &http.Transport{MaxConnsPerHost: 128, MaxIdleConnsPerHost: 128}}
	failed   atomic.Int64
)

func sendPush(token string) error {
	body := fmt.Sprintf(`{"token":"%s","title":"Sale","body":"Everything must go"}`, token)
	response, err := client.Post(provider, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func main() {
	users, err := strconv.Atoi(serving.Arg(2, "50000"))
	if err != nil {
		panic(err)
	}
	began := time.Now()
	var all sync.WaitGroup
	for user := range users {
		all.Go(func() {
			if sendPush(fmt.Sprintf("device-%d", user)) != nil {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	fmt.Printf("{\"seconds\": %f, \"failed\": %d}\n", time.Since(began).Seconds(), failed.Load())
}
