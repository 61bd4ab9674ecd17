// The bell: the user's inbox, as it is on the server, followed live.

import { $, badge, button, el, panel, write } from './page.js';

const PAGE = 20, MOST = 500;

export class Inbox {
	#api; #say; #items = new Map(); #unread = 0; #next = null; #on = false; #changed = 0; #loading = null;
	#epoch = 0; // what was asked for in an earlier one is not for who is there now
	#gone = new Set(); // archived here; the server's event about it brings nothing new
	#panel = panel($('inbox'));

	constructor(api, say) {
		this.#api = api;
		this.#say = say;
		$('bell').onclick = () => this.#panel.open();
		$('read-all').onclick = () => this.#mark('read', [...this.#items.keys()], '/v1/inbox/read');
		$('older').onclick = () => this.#older();
	}

	/** Begin, or begin again after the connection was away: what came meanwhile is in the inbox. */
	open() {
		this.#on = true;
		this.#renew();
		$('bell').hidden = false;
		this.#paint();
		return this.#load();
	}

	close() {
		this.#on = false;
		this.#renew();
		this.#panel.close();
		this.#items.clear();
		this.#gone.clear();
		this.#unread = 0;
		this.#next = null;
		$('bell').hidden = true;
		this.#paint();
	}

	#renew() {
		this.#epoch++;
		this.#loading = null;
	}

	/** The event `notification`. */
	arrived(item) {
		if (!this.#on) return;
		this.#changed++;
		if (this.#items.has(item.id)) return;
		this.#items = new Map([[item.id, { ...item, read: false }], ...this.#items]);
		if (this.#items.size > MOST) {
			this.#items.delete([...this.#items.keys()].at(-1));
			this.#next = [...this.#items.values()].at(-1).seq;
		}
		this.#unread++;
		if (!this.#panel.isOpen || document.hidden) this.#say(item.title || item.body);
		this.#paint();
	}

	/** The event `inbox`: another page of this user, or this one, has marked something. */
	marked({ what, ids }) {
		if (!this.#on) return;
		this.#changed++;
		const known = ids.length && ids.every(id => this.#items.has(id) || what === 'archived' && this.#gone.delete(id)) && what !== 'unarchived';
		if (known) this.#apply(what, ids);
		else if (what === 'read' && !ids.length) this.#allRead();
		else this.#load();
	}

	/** A whole page, and again if something happened while it came. */
	#load() {
		const epoch = this.#epoch;
		return this.#loading ??= this.#loadOnce(epoch).finally(() => { if (epoch === this.#epoch) this.#loading = null; });
	}

	async #loadOnce(epoch) {
		try {
			for (let tries = 0; tries < 5; tries++) {
				const before = this.#changed;
				const [{ items, next }, { unread }] = await Promise.all([this.#api.get(`/v1/inbox?before=0&limit=${PAGE}`), this.#api.get('/v1/inbox/unread')]);
				if (epoch !== this.#epoch) return;
				// What was there stays the same element: somebody may be at it with the keyboard.
				this.#items = new Map(items.map(item => [item.id, Object.assign(this.#items.get(item.id) ?? {}, item)]));
				this.#next = next;
				this.#unread = unread;
				this.#paint();
				if (before === this.#changed) break;
			}
			write('inbox-problem', '');
		} catch (problem) { this.#complain(epoch, problem); }
	}

	async #older() {
		const epoch = this.#epoch;
		try {
			const { items, next } = await this.#api.get(`/v1/inbox?before=${this.#next}&limit=${PAGE}`);
			if (epoch !== this.#epoch) return;
			for (const item of items) if (!this.#items.has(item.id)) this.#items.set(item.id, item);
			this.#next = next;
			this.#paint();
			$('items').children[this.#items.size - items.length]?.querySelector('a, button')?.focus();
		} catch (problem) { this.#complain(epoch, problem); }
	}

	/** Show it at once, then say it to the server, whose event tells all pages. */
	async #mark(what, ids, path) {
		const epoch = this.#epoch;
		this.#apply(what, ids);
		try { await this.#api.post(path); } catch (problem) {
			this.#complain(epoch, problem);
			if (epoch === this.#epoch) this.#load();
		}
	}

	#allRead() {
		for (const item of this.#items.values()) item.read = true;
		this.#unread = 0;
		this.#paint();
	}

	#apply(what, ids) {
		for (const id of ids) {
			const item = this.#items.get(id);
			if (!item) continue;
			this.#unread += (what === 'unread') - !item.read;
			if (what === 'archived') this.#items.delete(id); else item.read = what === 'read';
		}
		this.#unread = Math.max(this.#unread, 0);
		this.#paint();
	}

	#complain(epoch, { message }) { if (epoch === this.#epoch) write('inbox-problem', 'That did not work: ' + message); }

	#paint() {
		badge($('unread'), this.#unread);
		$('bell').ariaLabel = this.#unread ? `Notifications, ${this.#unread} unread` : 'Notifications';
		$('read-all').hidden = !this.#unread;
		$('older').hidden = this.#next === null;
		const nodes = [...this.#items.values()].map(item => { item.node ??= this.#build(item); this.#dress(item); return item.node; });
		const list = $('items'), keep = new Set(nodes);
		for (const node of [...list.children]) if (!keep.has(node)) node.remove();
		nodes.forEach((node, n) => { if (list.children[n] !== node) list.insertBefore(node, list.children[n] ?? null); });
	}

	#build(item) {
		const date = new Date(item.at * 1000), url = safe(item.url), title = item.title || item.body;
		const read = () => { if (!item.read) this.#mark('read', [item.id], `/v1/inbox/${item.id}/read`); };
		item.button = button('', () => this.#mark(item.read ? 'unread' : 'read', [item.id], `/v1/inbox/${item.id}/${item.read ? 'unread' : 'read'}`), { className: 'plain' });
		return el('li', { className: 'item' },
			el('strong', {}, url ? el('a', { href: url, target: '_blank', rel: 'noreferrer', onclick: read }, title) : title),
			el('p', {}, item.title ? item.body : ''),
			el('footer', {}, el('time', { dateTime: date.toISOString(), title: date.toLocaleString() }, when(date)), item.button,
				button('Archive', () => this.#archive(item), { className: 'plain', ariaLabel: 'Archive: ' + title })));
	}

	#dress({ node, button, read, title, body }) {
		node.classList.toggle('new', !read);
		write(button, read ? 'Mark unread' : 'Mark read');
		button.ariaLabel = `${button.textContent}: ${title || body}`;
	}

	#archive(item) {
		const beside = item.node.nextElementSibling ?? item.node.previousElementSibling;
		this.#gone.add(item.id);
		this.#mark('archived', [item.id], `/v1/inbox/${item.id}/archive`);
		(beside?.querySelector('footer button:last-child') ?? $('inbox-title')).focus();
	}
}

/** An address that may be followed: none that runs something here. */
function safe(text) {
	if (!text || !URL.canParse(text, location)) return '';
	const url = new URL(text, location);
	return /^https?:$/.test(url.protocol) ? url.href : '';
}

function when(date) {
	const today = new Date().toDateString() === date.toDateString();
	return today ? date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) : date.toLocaleDateString([], { day: 'numeric', month: 'short', year: 'numeric' });
}
