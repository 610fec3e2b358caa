// Measures the report in each frame: what is too small, too pale or outside, and whether a script of the log has run.
const parse = (text) => {
  const found = text.match(/[\d.]+/g).map(Number);
  return [found[0], found[1], found[2], found.length > 3 ? found[3] : 1];
};
const over = (front, back) => {
  const share = front[3] + back[3] * (1 - front[3]);
  if (share === 0) return [0, 0, 0, 0];
  const mix = [0, 1, 2].map((n) => (front[n] * front[3] + back[n] * back[3] * (1 - front[3])) / share);
  return [...mix, share];
};
const luminance = (colour) => {
  const linear = colour.slice(0, 3).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const contrast = (a, b) => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
};
const ground = (view, element) => {
  let colour = [0, 0, 0, 0];
  for (let at = element; at; at = at.parentElement) {
    colour = over(colour, parse(view.getComputedStyle(at).backgroundColor));
  }
  return over(colour, [255, 255, 255, 1]);
};
const scrolls = (view, element) => {
  for (let at = element; at; at = at.parentElement) {
    if (at === element.ownerDocument.documentElement) return false;
    if (['auto', 'scroll', 'hidden', 'clip'].includes(view.getComputedStyle(at).overflowX)) return true;
  }
  return false;
};
const measure = (frame) => {
  const view = frame.contentWindow;
  const page = frame.contentDocument;
  page.querySelectorAll('details').forEach((details) => { details.open = true; });
  const width = page.documentElement.clientWidth;
  const found = { width, small: [], outside: [], pale: [], texts: 0 };
  found.overflow = Math.max(0, page.documentElement.scrollWidth - width);
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.data.trim();
    const element = node.parentElement;
    if (!text || element.closest('title, style, [hidden]')) continue;
    const range = page.createRange();
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 1 && box.height > 1);
    const style = view.getComputedStyle(element);
    if (boxes.length === 0 || style.visibility !== 'visible') continue;
    // Text for screen readers alone is in a box of one pixel.
    const own = element.getBoundingClientRect();
    if (own.width <= 1 || own.height <= 1 || element.closest('.sr, .visually-hidden')) continue;
    found.texts += 1;
    const size = parseFloat(style.fontSize);
    const says = `${text.slice(0, 40)} <${element.tagName} ${element.className}>`;
    if (size < 10) found.small.push(`${says}: ${size}`);
    const left = Math.min(...boxes.map((box) => box.left));
    const right = Math.max(...boxes.map((box) => box.right));
    if ((left < -1 || right > width + 1) && !scrolls(view, element)) {
      found.outside.push(`${says}: ${Math.round(left)} to ${Math.round(right)}`);
    }
    const back = ground(view, element);
    const ratio = contrast(over(parse(style.color), back), back);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.pale.push(`${says}: ${ratio.toFixed(2)}`);
  }
  found.headings = [...page.querySelectorAll('h1, h2, h3')].map((heading) => heading.textContent);
  found.ground = view.getComputedStyle(page.body).backgroundColor;
  found.harmed = top.harmed === 1;
  return found;
};
addEventListener('load', () => {
  const out = [...document.querySelectorAll('iframe')].map(measure);
  document.getElementById('out').textContent = JSON.stringify(out);
});
