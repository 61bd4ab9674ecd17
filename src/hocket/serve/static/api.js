// The REST API, as the user whom the page's token names; without one, the browser's cookie says who.

export class Refused extends Error {
	constructor(status, words) { super(words); this.status = status; }
}

export class Api {
	token = '';
	#csrf = '';

	async get(path) {
		const told = await this.#ask('GET', path);
		if (!this.token && !this.#csrf) this.#renew().catch(() => {}); // so that a change can leave at once: the page may be about to go
		return told;
	}
	post(path, body) { return this.#change('POST', path, body); }
	put(path, body) { return this.#change('PUT', path, body); }
	delete(path) { return this.#change('DELETE', path); }

	/** A change by cookie needs what no foreign page can have; it may have ended with an older session. */
	async #change(method, path, body) {
		if (this.token) return this.#ask(method, path, body);
		const fresh = !this.#csrf;
		if (fresh) await this.#renew();
		try { return await this.#ask(method, path, body); } catch (problem) {
			if (fresh || problem.status !== 403) throw problem;
			await this.#renew();
			return this.#ask(method, path, body);
		}
	}

	async #renew() { this.#csrf = (await this.#ask('GET', '/v1/csrf')).token; }

	async #ask(method, path, body) {
		const headers = this.token ? { Authorization: 'Bearer ' + this.token } : this.#csrf ? { 'X-CSRF-Token': this.#csrf } : {};
		if (body !== undefined) headers['Content-Type'] = 'application/json';
		const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), keepalive: method !== 'GET' });
		if (answer.status === 204) return null;
		const told = await answer.json().catch(() => ({}));
		if (!answer.ok) throw new Refused(answer.status, told.detail || told.title || 'no answer');
		return told;
	}
}
