// A small Socket.IO (protocol 5) client over Engine.IO (protocol 4): WebSocket, text, namespace "/". It reconnects by
// itself but keeps no messages: `call` fails when the connection goes, and the page decides what to send again.

const FIRST_WAIT = 500, LONGEST_WAIT = 5000, DIAL_TIME = 10000, STEADY_TIME = 5000;

/** The connection went away, or was not there, before the answer came. */
export class Lost extends Error {}

export class Client {
	status = 'closed'; // closed: for good, reason says why if it was the server; waiting: until retryAt; connecting; connected
	reason = '';
	retryAt = 0;
	auth = () => ({});
	onstatus = () => {};
	onrefused = () => false; // true: try again later
	#path; #handlers = new Map(); #acks = new Map(); #lastAck = 0;
	#ws = null; #tries = 0; #patience = 0; #heardAt = 0; #timer; #steady;

	constructor(path) {
		this.#path = path;
		addEventListener('online', () => this.retry());
		addEventListener('offline', () => this.drop());
		document.addEventListener('visibilitychange', () => {
			if (document.hidden) return;
			// A machine that slept may hold a dead connection whose timer has not run yet.
			if (this.connected && Date.now() - this.#heardAt > this.#patience) this.drop();
			if (this.status === 'waiting') this.retry();
		});
	}

	get connected() { return this.status === 'connected'; }

	on(event, handler) { this.#handlers.set(event, handler); }

	open() {
		if (this.connected) this.#ws.send('41');
		this.#tries = 0;
		this.#dial();
	}

	close(reason = '') {
		this.reason = reason;
		this.#hangUp();
		this.#become('closed');
	}

	/** Try at once instead of waiting. */
	retry() { if (!this.connected && this.status !== 'closed') this.#dial(); }

	/** Give this connection up and get another one. */
	drop() { this.#lost(this.#ws); }

	emit(event, data) { if (this.connected) this.#ws.send('42' + JSON.stringify([event, data])); }

	/** Send an event; resolves to the first argument of its ack. */
	call(event, data, patience = 20000) {
		if (!this.connected) return Promise.reject(new Lost());
		const id = this.#lastAck++;
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => { this.#acks.delete(id); reject(new Error('no answer')); }, patience);
			this.#acks.set(id, { resolve, reject, timer });
			this.#ws.send('42' + id + JSON.stringify([event, data]));
		});
	}

	#become(status) { this.status = status; this.onstatus(); }

	#dial() {
		this.#hangUp();
		const url = new URL(this.#path + '?EIO=4&transport=websocket', location.href);
		url.protocol = url.protocol.replace('http', 'ws');
		const ws = this.#ws = new WebSocket(url);
		ws.onmessage = ({ data }) => { if (ws === this.#ws) this.#frame(String(data)); };
		ws.onclose = ws.onerror = () => this.#lost(ws);
		this.#allow(DIAL_TIME);
		this.#become('connecting');
	}

	#allow(time) {
		const ws = this.#ws;
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.#lost(ws), time);
	}

	#hangUp() {
		clearTimeout(this.#timer);
		clearTimeout(this.#steady);
		const ws = this.#ws, acks = [...this.#acks.values()];
		this.#ws = null;
		this.#acks.clear();
		ws?.close();
		for (const { reject, timer } of acks) { clearTimeout(timer); reject(new Lost()); }
	}

	#lost(ws) {
		if (!ws || ws !== this.#ws) return;
		this.#hangUp();
		// Exponential back-off with full jitter, so that a crowd does not come back as one.
		const wait = Math.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#tries++);
		this.retryAt = Date.now() + wait;
		this.#timer = setTimeout(() => this.#dial(), wait);
		this.#become('waiting');
	}

	#heard() {
		this.#heardAt = Date.now();
		this.#allow(this.#patience);
	}

	#frame(data) {
		if (data[0] === '0') { // open; the dial timer still covers the namespace's answer
			const { pingInterval, pingTimeout } = JSON.parse(data.slice(1));
			this.#patience = pingInterval + pingTimeout;
			this.#ws.send('40' + JSON.stringify(this.auth()));
		} else if (data[0] === '1') this.drop();
		else if (data[0] === '2') {
			this.#ws.send('3');
			if (this.connected) this.#heard();
		} else if (data[0] === '4') {
			const [, type, id, json] = /^4(\d)(\d*)(.*)$/s.exec(data);
			this.#packet(type, id, json && JSON.parse(json));
		}
	}

	#packet(type, id, value) {
		if (type === '0') { // connected
			this.#heard();
			this.#steady = setTimeout(() => { this.#tries = 0; }, STEADY_TIME);
			this.#become('connected');
		} else if (type === '1') this.close('Ended by the server');
		else if (type === '2') { // event
			if (id) this.#ws.send(`43${id}[]`);
			this.#handlers.get(value[0])?.(...value.slice(1));
		} else if (type === '3') { // ack
			const ack = this.#acks.get(+id);
			this.#acks.delete(+id);
			clearTimeout(ack?.timer);
			ack?.resolve(value[0]);
		} else if (type === '4') { // refused
			if (this.onrefused(value.message, value.data)) this.drop(); else this.close(value.message);
		}
	}
}
