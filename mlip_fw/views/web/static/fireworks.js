// What FireWorks' own pages do with jQuery from elsewhere: a document as a tree, and a workflow as a drawing.
"use strict";
(function () {
  const MOST = 500;

  function leaf(name, value) {
    const line = document.createElement("div");
    line.className = "leaf";
    line.textContent = name + JSON.stringify(value);
    return line;
  }

  function node(name, value, deep) {
    if (value === null || typeof value !== "object") return leaf(name, value);
    const keys = Object.keys(value);
    const box = document.createElement("details");
    const title = document.createElement("summary");
    title.textContent = name + (Array.isArray(value) ? "[" + keys.length + "]" : "{" + keys.length + "}");
    box.append(title);
    box.open = deep < 1;
    function fill() {
      if (box.childElementCount > 1) return;
      for (const key of keys.slice(0, MOST)) box.append(node(key + ": ", value[key], deep + 1));
      if (keys.length > MOST) box.append(leaf("", (keys.length - MOST) + " more"));
    }
    if (box.open) fill();
    box.addEventListener("toggle", fill);
    return box;
  }

  const text = document.getElementById("json");
  if (text) {
    const tree = node("", JSON.parse(text.textContent), 0);
    text.textContent = "";
    text.append(tree);
  }

  const place = document.getElementById("cy");
  if (!place || !window.cytoscape) return;
  const root = place.dataset.root;
  fetch(root + "/wf/" + place.dataset.workflow + "/json").then(function (answer) { return answer.json(); }).then(function (found) {
    const drawing = window.cytoscape({
      container: place,
      elements: { nodes: found.nodes, edges: found.edges },
      style: [
        { selector: "node", css: { content: "data(name)", "text-valign": "center", width: "data(width)", shape: "rectangle", color: "white", "background-color": "data(state)", "text-outline-width": 1, "text-outline-color": "#555", "font-size": 14 } },
        { selector: "edge", css: { "target-arrow-shape": "triangle" } },
      ],
      layout: { name: "dagre", fit: true, padding: 30, rankDir: "TB" },
    });
    drawing.on("click", "node", function (event) {
      const data = event.cyTarget.data();
      const link = document.createElement("a");
      link.href = root + "/fw/" + encodeURIComponent(data.id);
      link.textContent = "Firework " + data.id + ": " + data.name;
      document.getElementById("chosen").replaceChildren(link);
    });
  }).catch(function () { place.textContent = "The workflow can't be drawn."; });
})();
