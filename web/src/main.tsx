/** Starts the console. */
import { render } from 'preact';
import './styles/base.css';
import './styles/talk.css';
import './styles/agents.css';
import './styles/history.css';
import { App } from './app.js';

render(<App />, document.body);
