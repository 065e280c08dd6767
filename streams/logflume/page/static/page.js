// What the page does beyond links and forms. Everything works by addresses; this saves loading them whole.
// The script may run before the document is there (parts of it come as they are ready), so it listens on the document.
import "./sign-in.js";
import "./forms.js";
import "./open.js";
import "./zoom.js";
import "./progress.js";
import "./complete.js";
import "./tail.js";
