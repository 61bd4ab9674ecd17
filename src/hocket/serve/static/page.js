// What the parts of the page share: making elements and panels.

export const $ = id => document.getElementById(id);
export const el = (tag, more, ...inside) => { const node = Object.assign(document.createElement(tag), more); node.append(...inside); return node; };
export const write = (place, words) => { const node = $(place) ?? place; if (node.textContent !== `${words}`) node.textContent = words; };
export const button = (words, onclick, more) => el('button', { type: 'button', onclick, ...more }, words);

export function badge(node, count) {
	node.hidden = !count;
	write(node, count > 99 ? '99+' : count);
	node.title = count + ' unread';
}

/** A dialog at the side: Escape, its button and a click beside it close it. */
export function panel(dialog) {
	dialog.querySelector('.close').onclick = () => dialog.close();
	dialog.onclick = event => { if (event.target === dialog && event.offsetX < 0) dialog.close(); };
	return {
		open() { dialog.showModal(); dialog.querySelector('h2').focus(); },
		close() { dialog.close(); },
		get isOpen() { return dialog.open; },
	};
}

export const saved = area => ({ // storage may be missing, full or forbidden
	get(key) { try { return JSON.parse(window[area].getItem('hocket.' + key)); } catch { return null; } },
	set(key, value) { try { window[area].setItem('hocket.' + key, JSON.stringify(value)); } catch { /* then not */ } },
});
