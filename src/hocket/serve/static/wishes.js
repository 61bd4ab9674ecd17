// The preferences: by what, about what and when the user is pushed.

import { $, el, panel, write } from './page.js';
import { Push } from './push.js';

const CHANNELS = { webpush: 'Browser', fcm: 'Android', apns: 'iPhone and iPad', email: 'Email', webhook: 'Webhook' };

export class Wishes {
	#api; #push; #wishes = {};
	#epoch = 0; // as the inbox's
	#panel = panel($('wishes'));

	constructor(api, push) {
		this.#api = api;
		this.#push = push;
		$('open-wishes').onclick = () => this.open();
		$('push').onclick = () => this.#toggle();
		$('wishes').querySelector('form').onsubmit = event => { event.preventDefault(); this.#save(); };
	}

	async open() {
		const epoch = ++this.#epoch;
		write('wishes-problem', '');
		write('saved', '');
		this.#panel.open();
		this.#paintPush();
		try {
			const [wishes, { topics }] = await Promise.all([this.#api.get('/v1/preferences'), this.#api.get('/v1/topics')]);
			if (epoch === this.#epoch) this.#fill(wishes, topics);
		} catch ({ message }) { if (epoch === this.#epoch) write('wishes-problem', message); }
	}

	close() {
		this.#epoch++;
		this.#panel.close();
	}

	#fill(wishes, topics) {
		this.#wishes = wishes;
		ticks($('channels'), Object.entries(CHANNELS).map(([name, words]) => [name, words, wishes.channels[name] ?? true]));
		const named = [...new Set([...topics, ...Object.keys(wishes.topics)])].sort();
		ticks($('topics'), named.map(name => [name, name, Object.keys(CHANNELS).some(channel => wishes.topics[name]?.[channel] ?? true)]));
		$('topics-box').hidden = !named.length;
		$('quiet').checked = !!wishes.quiet_hours;
		$('quiet-start').value = wishes.quiet_hours?.start ?? '22:00';
		$('quiet-end').value = wishes.quiet_hours?.end ?? '07:00';
		const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
		const zone = wishes.quiet_hours || wishes.timezone !== 'UTC' ? wishes.timezone : here; // UTC is also what nobody has chosen
		$('zone').replaceChildren(...[...new Set([zone, here, 'UTC', ...Intl.supportedValuesOf('timeZone')])].sort().map(name => el('option', { value: name }, name.replaceAll('_', ' '))));
		$('zone').value = zone;
	}

	async #save() {
		const channels = { ...this.#wishes.channels, ...ticked($('channels')) }, topics = { ...this.#wishes.topics };
		for (const [name, wanted] of Object.entries(ticked($('topics')))) {
			const before = Object.keys(CHANNELS).some(channel => topics[name]?.[channel] ?? true);
			if (wanted !== before) { // else what was said channel by channel stays
				topics[name] = { ...topics[name], ...Object.fromEntries(Object.keys(CHANNELS).map(channel => [channel, wanted])) };
			}
		}
		const quiet_hours = $('quiet').checked ? { start: $('quiet-start').value, end: $('quiet-end').value } : null;
		const epoch = this.#epoch;
		write('saved', '');
		try {
			const wishes = await this.#api.put('/v1/preferences', { ...this.#wishes, channels, topics, quiet_hours, timezone: $('zone').value });
			if (epoch !== this.#epoch) return;
			this.#wishes = wishes;
			write('wishes-problem', '');
			write('saved', 'Saved');
		} catch ({ message }) { if (epoch === this.#epoch) write('wishes-problem', message); }
	}

	async #toggle() {
		$('push').disabled = true;
		let problem = '';
		try { await (this.#push.isOn ? this.#push.turnOff() : this.#push.turnOn()); } catch ({ message }) { problem = message; }
		$('push').disabled = false;
		this.#paintPush();
		if (problem) write('push-state', 'That did not work: ' + problem);
		$('push').focus();
	}

	#paintPush() {
		$('push').hidden = !Push.possible;
		const on = Push.possible && this.#push.isOn;
		write('push', on ? 'Turn off' : 'Turn on');
		write('push-state', !Push.possible ? 'This browser cannot show notifications here.' : on ? 'Notifications are shown also while this page is closed.' : 'Show notifications also while this page is closed.');
	}
}

function ticks(place, rows) {
	place.replaceChildren(...rows.map(([name, words, checked]) => el('label', { className: 'tick' }, el('input', { type: 'checkbox', name, checked }), words)));
}

function ticked(place) {
	return Object.fromEntries([...place.querySelectorAll('input')].map(({ name, checked }) => [name, checked]));
}
