// Goes into a copy of a page: its title tells of the plots how many there are, how many show no mark, how many are broken. A mark is
// what stands for data: axes, reference lines and what answers to the pointer alone are none.
document.querySelectorAll('details').forEach(function (d) { d.open = true; }); // what is folded has no size
var plots = document.querySelectorAll('svg.plot'), empty = 0, broken = [];
plots.forEach(function (svg) {
    var view = svg.viewBox.baseVal, page = svg.getBoundingClientRect(), drawn = false, sound = page.width > 0 && page.height > 0;
    [svg].concat(Array.from(svg.querySelectorAll('*'))).forEach(function (part) {
        Array.from(part.attributes).forEach(function (a) { sound = sound && !/nan|inf/i.test(a.value); });
    });
    svg.querySelectorAll('rect, circle.marker, path.line, path.step, path.band, path.whisker').forEach(function (mark) {
        var b = mark.getBBox();
        if (!(b.width > 0 || b.height > 0)) return; // a curve of gaps, or of one point, which has a marker
        drawn = true;
        sound = sound && [b.x, b.y, b.width, b.height].every(isFinite) && b.x > -1 && b.y > -1 &&
            b.x + b.width < view.width + 1 && b.y + b.height < view.height + 1;
    });
    var row = {}; // labels of ticks and categories stand in rows, and none runs into the next (values stand at the height of their bars)
    svg.querySelectorAll('text[text-anchor="middle"]:not(.value)').forEach(function (text) {
        var b = text.getBBox(), y = text.getAttribute('y'), ends = row[y] || (row[y] = []);
        sound = sound && ends.every(function (e) { return b.x > e.x + e.width || b.x + b.width < e.x; });
        ends.push(b);
    });
    empty += drawn ? 0 : 1;
    if (!sound) broken.push(svg.getAttribute('aria-labelledby'));
});
document.title = 'plots ' + plots.length + ' empty ' + empty + ' broken ' + broken.length + ' ' + broken.join(' ');
