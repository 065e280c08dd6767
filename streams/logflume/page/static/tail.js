// Records as they come: Server-Sent Events to rows, the newest first. What a record has in it is text and nothing else.
const MOST_ROWS = 500;
const COORDINATES = ["_src_topic", "_src_partition", "_src_offset", "_src_row"];
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

class Live {
  constructor(table) {
    this.table = table;
    this.columns = [...table.querySelectorAll("[data-column]")].map((each) => each.dataset);
    this.times = new Intl.DateTimeFormat("sv-SE", { timeZone: table.dataset.tz, dateStyle: "short", timeStyle: "medium" });
    this.waiting = [];
    this.paused = false;
    this.seen = this.lost = 0;
    this.state = document.querySelector("[data-live-state]");
    this.trouble = document.querySelector("[data-live-trouble]");
    this.connect();
    this.draw();
  }

  connect() {
    this.source = new EventSource(this.table.dataset.live);
    this.source.addEventListener("open", () => this.says("listening"));
    this.source.addEventListener("message", (event) => this.take(JSON.parse(event.data)));
    this.source.addEventListener("lost", (event) => this.loses(JSON.parse(event.data)));
    this.source.addEventListener("end", (event) => this.ends(JSON.parse(event.data)));
    this.source.addEventListener("error", () => this.fails());
    this.says("connecting");
  }

  take(told) {
    for (const row of Array.isArray(told) ? told : [told]) {
      this.seen += 1;
      this.waiting.push(row);
    }
    if (this.waiting.length > MOST_ROWS) this.waiting.splice(0, this.waiting.length - MOST_ROWS);
  }

  loses(told) {
    this.lost += told.rows;
    this.why = told.detail;
  }

  ends(told) {
    this.source.close(); // else the browser connects again
    this.says("ended");
    this.trouble.textContent = `The stream has ended: ${told.detail}`;
    this.trouble.hidden = false;
  }

  says(word) {
    this.word = word;
    const lost = this.lost ? `, ${this.lost.toLocaleString("en")} left out (${this.why})` : "";
    const waiting = this.paused && this.waiting.length ? `, ${this.waiting.length} wait` : "";
    this.state.textContent = `${this.paused ? "paused" : word}, ${this.seen.toLocaleString("en")} records${waiting}${lost}`;
  }

  async fails() {
    if (this.source.readyState !== EventSource.CLOSED) return this.says("connecting again");
    this.says("ended");
    const answer = await fetch(this.table.dataset.live, { headers: { Accept: "application/json" } }).catch(() => null);
    const told = answer && !answer.ok ? await answer.json().catch(() => ({})) : {};
    answer?.body?.cancel().catch(() => {});
    this.trouble.textContent = `${told.title ?? "The stream has ended"}: ${told.detail ?? "reload to listen again"}`;
    this.trouble.hidden = false;
  }

  draw() {
    requestAnimationFrame(() => setTimeout(() => this.draw(), 200));
    if (!this.paused && this.waiting.length) {
      const body = this.table.tBodies[0];
      body.prepend(...this.waiting.splice(0).reverse().map((row) => this.row(row)));
      while (body.rows.length > MOST_ROWS) body.lastElementChild.remove();
    }
    this.says(this.word);
  }

  row(record) {
    const row = document.createElement("tr");
    const open = row.insertCell();
    open.className = "open";
    if (COORDINATES.every((name) => record[name] !== undefined && record[name] !== null)) {
      const link = document.createElement("a");
      link.className = "opener";
      link.href = this.table.dataset.records + COORDINATES.map((name) => record[name]).join(".");
      link.setAttribute("aria-label", "The record, when it has come to rest");
      open.append(link);
    }
    for (const { column, type } of this.columns) row.insertCell().textContent = this.text(record[column], type);
    return row;
  }

  text(value, type) {
    if (value === undefined || value === null) return "–";
    if (typeof value === "object") return JSON.stringify(value);
    if (type === "timestamp" && INSTANT.test(value)) return `${this.times.format(new Date(value))}.${(value.match(/\.(\d{1,3})/)?.[1] ?? "").padEnd(3, "0")}`;
    return String(value);
  }
}

function begin() {
  const table = document.querySelector("table[data-live]");
  if (!table) return;
  const live = new Live(table);
  const pause = document.querySelector("[data-pause]");
  const empty = document.querySelector("[data-empty]");
  pause.hidden = empty.hidden = false;
  pause.addEventListener("click", () => {
    live.paused = !live.paused;
    pause.textContent = live.paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(live.paused));
    live.says(live.word);
  });
  empty.addEventListener("click", () => {
    live.waiting = [];
    table.tBodies[0].replaceChildren();
  });
}
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
else begin();
