// Goes into a copy of a page whose print rules hold on the screen, in a window as wide as the paper: its title tells how many parts stick
// out to the right, by how much at most, and the first of them.
document.querySelectorAll('main details:not(.data)').forEach(function (d) { d.open = true; }); // as the page does before it prints
var wide = document.documentElement.clientWidth, out = 0, most = 0, first = '';
document.querySelectorAll('body *').forEach(function (part) {
    var over = part.getBoundingClientRect().right - wide;
    if (over < 1) return;
    out++;
    most = Math.max(most, over);
    if (!first) first = part.tagName + ' ' + (part.getAttribute('class') || '') + ' ' + part.textContent.slice(0, 40).replace(/\s+/g, ' ');
});
document.title = 'print ' + out + ' by ' + Math.round(most) + ' ' + first;
